// SPDX-License-Identifier: Apache-2.0
// Whether a schedule is complete and possible: every stage runs every micro-batch forward once and backward
// once (B, or I and W), in an order in which nothing is needed before it exists and no rank waits for ever.
// It takes messages as buffered; what sends and receives add is proved of the programs made from the
// schedule.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parallel/schedules/cell_index.h"
#include "parallel/schedules/schedule.h"

namespace strata {

struct ScheduleProblem {
  std::string text;          // names the cell
  std::vector<Place> marks;  // where in the grid
};

// Empty: the schedule is complete and possible. Else the first few problems.
std::vector<ScheduleProblem> check_schedule(const Schedule& schedule);

// Problems as a person reads them: each with the grid around the cells it is about, which stand in brackets.
std::string explain(const Schedule& schedule, const std::vector<ScheduleProblem>& problems);

// Throws Error(usage) with explain() when there is a problem. `where` names the schedule's source.
void require_possible(const Schedule& schedule, std::string_view where);

}  // namespace strata
