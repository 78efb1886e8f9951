// SPDX-License-Identifier: Apache-2.0
// How long a schedule takes, how long its ranks idle and how many activations they keep, when every cell of a
// kind takes the same time. Planning with real costs simulates the programs instead
// (core/program/simulate.h); this answers what the schedule itself costs.
#pragma once

#include <string>
#include <vector>

#include "parallel/schedules/schedule.h"

namespace strata {

// Times of one micro-batch through one rank's share of the model, in any unit; with v stages per rank a cell
// takes a v-th.
struct StageTimes {
  double forward = 1;
  double backward_input = 1;
  double backward_weight = 1;  // B takes the sum of both backwards
  double transfer = 0;         // from one rank to another, overlapping with computation
};

struct ScheduleTimeline {
  struct Span {
    double begin = 0, end = 0;
  };
  struct Rank {
    double busy = 0;
    double begin = 0, end = 0;  // of its first and last cell
    // Micro-batches whose activations it holds at most, counted from the begin of F to the end of B or W, in
    // units of its share of the model: with v stages per rank one stage's activation counts 1/v.
    double peak_activations = 0;

    double own_idle() const { return end - begin - busy; }
  };

  std::vector<std::vector<Span>> cells;  // as Schedule::ranks
  std::vector<Rank> ranks;
  double makespan = 0;

  double idle(int rank) const { return makespan - ranks[static_cast<size_t>(rank)].busy; }
  // Idle time of the busiest rank, over its work and over everything.
  double bubble_over_ideal() const;
  double bubble_of_total() const;
};

// Every cell begins as early as its rank's order and what it awaits permit. For schedules that
// check_schedule() passed; throws ContractError when ranks wait for ever.
ScheduleTimeline schedule_timeline(const Schedule& schedule, const StageTimes& times = {});

// The usual diagram: ranks down, time across, one column per F, I or W and two per B ("=" fills the second),
// "." where a rank idles; behind each rank its peak of activations. Cells read F3, or F5.3 (stage 5) with
// several stages per rank. Wider than `columns` columns it is cut. For possible schedules only, as
// schedule_timeline().
//   rank 0  F0 F1 .  .  .  B0 =  B1 =    keeps 2
//   rank 1  .  F0 B0 =  F1 B1 =  .  .    keeps 1
std::string picture(const Schedule& schedule, int columns = 60);

}  // namespace strata
