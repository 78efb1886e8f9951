// SPDX-License-Identifier: Apache-2.0
// OUT/metrics.jsonl: one JSON object per optimizer step, for programs and people alike.
//
// Keys, in this order: step, loss, valid_loss (only after an evaluation), grad_norm, lr, tokens,
// tokens_per_s, step_ms, mfu (null when unknown), joules (where known: every rank is taken to have a GPU of
// its own), memory {device, host, nvme: bytes}, wait {lane: ms}; then nonfinite and skipped (only when true),
// phase (only when named), tokens_seen, steps_total, flops, memory_peak {device, host, nvme}. loss,
// valid_loss, grad_norm and lr are the shortest text that gives back the same double, so two runs can be
// compared bit for bit. A value that is not finite is null, and the line says "nonfinite": true.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launch/metrics/append_file.h"
#include "launch/metrics/step_record.h"

namespace strata {

// The line of a record, without the newline.
std::string to_json(const StepRecord& record);
// The inverse; a null becomes NaN. Throws nlohmann's exception for a line that is no such object.
StepRecord parse_record(std::string_view line);

// Appends lines. A line is with the operating system when write() returns. Not thread-safe.
class MetricsLog {
 public:
  // Continues the file at `path` or begins it; half a line at its end (a crash) is removed first.
  MetricsLog(FileSystem& files, const std::string& path);

  void write(const StepRecord& record);

 private:
  AppendFile file_;
};

// Removes the lines of steps after `step`, and half a line at the end, before a run continues there. The file
// is replaced atomically, kept lines stay as they are byte for byte. Returns how many whole lines went; 0
// when there is no file. Throws Error(data) with file:line for a damaged line that is not the last.
int64_t cut_back(FileSystem& files, const std::string& path, int64_t step);

// All records; half a line at the end is left out. Throws Error(data) for a damaged line.
std::vector<StepRecord> read_metrics(FileSystem& files, const std::string& path);

}  // namespace strata
