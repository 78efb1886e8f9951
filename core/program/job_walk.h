// SPDX-License-Identifier: Apache-2.0
// One topological pass over the lanes, waits and meetings of all ranks of a job: the common ground of the
// simulator and the verifier. Messages are taken to be rendezvous: a send ends no earlier than its receive
// begins.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "core/program/link.h"

namespace strata {

struct Participant {
  int rank = 0;          // which program
  int32_t position = 0;  // in its list

  friend bool operator==(const Participant&, const Participant&) = default;
};

// Calls visit(step, participants) for every action of `steps` steps, each after the actions it waits for and
// its predecessor on its lane; actions that meet are visited together. Waits on a step before the first are
// over. Returns an empty text, or where the lanes stand that wait for each other for ever.
using JobVisit = std::function<void(int step, std::span<const Participant> participants)>;
std::string walk_job(std::span<const LinkedProgram> programs, int steps, const JobVisit& visit);

}  // namespace strata
