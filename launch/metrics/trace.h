// SPDX-License-Identifier: Apache-2.0
// Timelines for Perfetto (ui.perfetto.dev) and chrome://tracing: the Trace Event Format's JSON. A simulated
// and an executed step are written alike, so that both can stand in one file, one above the other.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/io/file_system.h"

namespace strata {

struct TraceEvent {
  using Value = std::variant<int64_t, double, std::string>;

  std::string name;      // "forward block 3"
  std::string category;  // "compute"; people filter by it
  std::string lane;      // the row it is drawn in. Events of one lane may nest but not overlap otherwise.
  double start_us = 0;   // any origin, the same for a whole file
  double duration_us = 0;
  std::map<std::string, Value> args = {};  // shown when the event is clicked
};

// A group of lanes: one rank, executed or simulated.
struct TraceProcess {
  std::string name;  // "rank 0", "rank 0 (plan)"
  std::vector<TraceEvent> events = {};
  std::vector<std::string> lanes = {};  // order of the rows from the top; unlisted ones follow as they appear
};

// Processes are drawn in the order given. Text that is not UTF-8 is repaired. Times are kept to a nanosecond.
std::string trace_json(std::span<const TraceProcess> processes);

// The same into a file, replaced atomically. Throws IoError.
void write_trace(FileSystem& files, const std::string& path, std::span<const TraceProcess> processes);

}  // namespace strata
