// SPDX-License-Identifier: Apache-2.0
// One topological pass over lanes and waits: the common ground of the simulator and the verifier.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string>

#include "core/program/link.h"

namespace strata {

// Calls visit(step, position) for every action of `steps` steps, each after the actions it waits for and its
// predecessor on its lane. Returns an empty text, or where the lanes stand that wait for each other for ever.
// Waits on a step before the first are over.
template <typename Visit>
std::string walk_lanes(const LinkedProgram& linked, int steps, Visit visit) {
  std::array<int64_t, kNumLanes> done{};  // actions per lane, over all steps
  const auto length = [&](size_t lane) { return static_cast<int64_t>(linked.lanes[lane].size()); };
  const auto position = [&](size_t lane) {
    return linked.lanes[lane][static_cast<size_t>(done[lane] % length(lane))];
  };
  // The wait the lane stands at; null: it may go on.
  const auto blocked = [&](size_t lane) -> const Wait* {
    const int64_t step = done[lane] / length(lane);
    for (const Wait& wait : linked.waits_of(position(lane))) {
      const auto other = static_cast<size_t>(wait.lane);
      if (done[other] < (step - (wait.previous_step ? 1 : 0)) * length(other) + wait.sequence + 1)
        return &wait;
    }
    return nullptr;
  };
  for (bool progress = true; progress;) {
    progress = false;
    for (size_t lane = 0; lane < kNumLanes; ++lane) {
      while (done[lane] < steps * length(lane) && !blocked(lane)) {
        visit(static_cast<int>(done[lane] / length(lane)), position(lane));
        ++done[lane];
        progress = true;
      }
    }
  }
  std::string text;
  for (size_t lane = 0; lane < kNumLanes; ++lane) {
    if (done[lane] == steps * length(lane)) continue;
    const Wait& wait = *blocked(lane);
    const auto& other = linked.lanes[static_cast<size_t>(wait.lane)];
    const auto at = static_cast<size_t>(wait.sequence);
    text += fmt::format(
        "{}lane {} waits at action {} `{}` for `{}` of lane {}{}", text.empty() ? "" : "; ",
        name(static_cast<Lane>(lane)), position(lane),
        linked.program.list[static_cast<size_t>(position(lane))],
        at < other.size() ? to_string(linked.program.list[static_cast<size_t>(other[at])]) : "nothing",
        name(wait.lane), wait.previous_step ? " in the step before" : "");
  }
  return text;
}

}  // namespace strata
