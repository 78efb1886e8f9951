// SPDX-License-Identifier: Apache-2.0
// OUT/report.html: a run on one page. One file without scripts or outside resources; light and dark.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/io/file_system.h"
#include "launch/metrics/step_record.h"

namespace strata {

// What the page says of a run beside its steps.
struct RunSummary {
  std::string name;                                             // run.name
  std::string state = {};                                       // "running", "finished", "stopped: ..."
  std::string model = {};                                       // "llama, 6 layers, hidden 256"
  int64_t parameters = 0;                                       // 0: not shown
  std::string machine = {};                                     // "2 x AMD EPYC, cpu"
  std::vector<std::pair<std::string, std::string>> facts = {};  // further rows of the table, in order
  std::string config_text = {};                                 // the effective configuration as printed
};

std::string report_html(const RunSummary& summary, std::span<const StepRecord> records);

// The same into a file, replaced atomically, so that it may be open in a browser. Throws IoError.
void write_report(FileSystem& files, const std::string& path, const RunSummary& summary,
                  std::span<const StepRecord> records);

}  // namespace strata
