// SPDX-License-Identifier: Apache-2.0
// Times a linked program under a cost model: what runs when on which lane, what idles, how much is live. Also
// finds lanes that wait for each other for ever.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/program/cost_model.h"
#include "core/program/link.h"

namespace strata {

struct Timeline {
  struct Entry {
    int32_t position = 0;  // in the list
    int32_t step = 0;
    Lane lane = Lane::compute;
    double begin = 0, end = 0;  // seconds
  };
  std::vector<Entry> entries;  // in the order of their begin
  std::array<double, kNumLanes> busy{};
  double makespan = 0;
  double step_seconds = 0;  // from the end of the step before the last to the end of the last one
  // Most bytes of values that exist at once in this timing, per tier: never above the arena.
  std::array<int64_t, kNumTiers> live_peak{};
  std::string deadlock;  // empty, or which lane waits where

  double bubble(Lane lane) const { return makespan > 0 ? 1 - busy[static_cast<size_t>(lane)] / makespan : 0; }
};

// One rank alone. Its program must not meet others.
Timeline simulate(const LinkedProgram& linked, const CostModel& costs, int steps = 1);

struct JobTimeline {
  std::vector<Timeline> ranks;  // one per program; makespans and step times are those of the job
  double makespan = 0;
  double step_seconds = 0;
  std::string deadlock;
};
// All pipeline ranks of a job together: actions that meet begin and end together.
JobTimeline simulate_job(std::span<const LinkedProgram> programs, const CostModel& costs, int steps = 1);

}  // namespace strata
