// SPDX-License-Identifier: Apache-2.0
// Whether a schedule is right, by brute force from its definition: counts every cell it should have, then
// asks of the relation "must come before" (list order and dependencies) whether its transitive closure has a
// loop. Shares nothing with the checker but the types.
#pragma once

#include <string>

#include "parallel/schedules/schedule.h"

namespace strata {

// Empty when it is right, else what is wrong first.
std::string slow_judge(const Schedule& schedule);

}  // namespace strata
