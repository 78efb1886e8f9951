// SPDX-License-Identifier: Apache-2.0
// Runs a linked program symbolically on its planned bytes, with the lanes interleaved as badly as the waits
// allow. An action takes time: at its start it reads and its outputs turn to garbage, at its end it writes;
// whatever another action does to its bytes in between spoils the result. On lanes that overlap, actions
// begin while earlier ones run, and end in order.
#pragma once

#include <cstdint>
#include <string>

#include "core/program/link.h"
#include "tests/core/program/judge.h"
#include "tests/core/program/random_programs.h"

namespace strata::judge {

inline constexpr int kScheduleSteps = 3;

// Lanes start and end actions in random order. Empty when the persistent values come out right.
std::string run_at_random(const LinkedProgram& linked, const Contents& expected,
                          random_programs::Random& random);

// The action at `position` of the middle step, once begun, ends only when nothing else can happen any more.
std::string run_holding(const LinkedProgram& linked, const Contents& expected, int32_t position);

// Empty when no random run out of `tries` and no held action shows a wrong result.
std::string judge_linked(const LinkedProgram& linked, int tries, random_programs::Random& random);

}  // namespace strata::judge
