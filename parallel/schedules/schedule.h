// SPDX-License-Identifier: Apache-2.0
// A pipeline schedule as data: what every rank of a pipeline computes, in which order. Generators only make
// grids; check_schedule() proves one possible, schedule_timeline() times it, expand_stages() (core/program)
// makes a rank's program of it. One stage is a run of consecutive blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/program/grid.h"

namespace strata {

// What a generator is asked for.
struct ScheduleShape {
  int ranks = 1;           // of the pipeline
  int virtual_stages = 1;  // stages per rank
  int micro_batches = 1;   // per optimizer step

  int stages() const { return ranks * virtual_stages; }
  friend bool operator==(const ScheduleShape&, const ScheduleShape&) = default;
};

// "8 ranks, 64 micro-batches", and "4 virtual stages" when there are several.
std::string to_string(const ScheduleShape& shape);

struct Schedule {
  int micro_batches = 0;
  std::vector<int> stage_rank;  // which rank holds a stage; -1: none does (only in a text that is wrong)
  std::vector<Grid> ranks;      // per rank its cells in order of time

  int num_ranks() const { return static_cast<int>(ranks.size()); }
  int num_stages() const { return static_cast<int>(stage_rank.size()); }
  // What one stage is of one rank's share of the model: 1, or 1/v with v stages per rank.
  double stage_share() const { return static_cast<double>(num_ranks()) / num_stages(); }

  friend bool operator==(const Schedule&, const Schedule&) = default;
};

// Stage s on rank s % ranks: Megatron's interleaving, and the identity with one stage per rank.
std::vector<int> round_robin(const ScheduleShape& shape);

// The blocks of every stage of a model of `layers` layers between an embedding and a head: equal numbers of
// layers, the embedding with the first and the head with the last. Throws Error(usage) naming the nearest
// legal numbers of stages when they do not divide.
std::vector<Stage> even_stages(int layers, const ScheduleShape& shape);

// ---- text
// ----------------------------------------------------------------------------------------------------- One
// line per rank, the cells of grid.h in order of time; '#' begins a comment, blank lines are skipped:
//   F0.0 F0.1 B0.0 B0.1     # rank 0 holds stage 0
//   F1.0 I1.0 F1.1 I1.1 W1.0 W1.1
std::string to_text(const Schedule& schedule);
// The inverse. The number of stages and micro-batches is what the cells name; a stage belongs to the first
// rank that names it. Throws Error(usage) with `file`:line for what is not a cell; whether the schedule is
// possible is check_schedule()'s to say.
Schedule parse_schedule(std::string_view text, std::string_view file);
// A schedule that a user wrote for this pipeline: parsed, possible, and of this shape. Throws Error(usage).
Schedule schedule_from_text(std::string_view text, std::string_view file, const ScheduleShape& shape);

}  // namespace strata
