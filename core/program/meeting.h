// SPDX-License-Identifier: Apache-2.0
// Which actions of different pipeline ranks happen together. A program stands for every rank with the same
// place in the pipeline: those run the same list, so their collectives (gather, reduce, spread, the
// boundaries inside blocks) meet in the same order by construction, and only what crosses pipeline ranks
// needs matching.
#pragma once

#include <cstdint>
#include <optional>

#include "core/program/action.h"

namespace strata {

struct Meeting {
  uint64_t key = 0;      // equal for the actions that happen together, within one step
  int participants = 2;  // how many do
};

// Of an action of pipeline rank `rank` in a job of `ranks` of them; `twin` is the action block's (BlockInfo).
std::optional<Meeting> meeting_of(const Action& action, int rank, int ranks, int twin);

}  // namespace strata
