// SPDX-License-Identifier: Apache-2.0
// The table of pipeline schedules. A new one is a file here and a row in schedule_table.cpp.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "parallel/schedules/schedule.h"

namespace strata {

struct ScheduleRow {
  std::string_view name;         // parallel.schedule
  std::string_view doc;          // one line
  bool interleaved = false;      // several stages per rank, where the others want one
  bool whole_rounds = false;     // micro-batches are a multiple of the ranks
  bool splits_backward = false;  // the backwards of inputs and of weights are cells of their own
  // A rank's cells. Called with shapes without a shape_fault().
  Grid (*make)(const ScheduleShape& shape, int rank);
  std::vector<int> (*place)(const ScheduleShape& shape) = round_robin;  // Schedule::stage_rank
};

std::span<const ScheduleRow> schedule_table();

// The row of that name. Throws Error(usage) with the nearest name, and all of them.
const ScheduleRow& find_schedule(std::string_view name);

// Why the shape is none for this schedule, with the nearest legal values; nothing when it is one.
std::optional<Report> shape_fault(const ScheduleRow& row, const ScheduleShape& shape);

// find_schedule() and the schedule. Throws Error(usage) with shape_fault().
Schedule make_schedule(std::string_view name, const ScheduleShape& shape);

}  // namespace strata
