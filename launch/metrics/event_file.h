// SPDX-License-Identifier: Apache-2.0
// Scalars for TensorBoard: an event file (TFRecord framing around Event protocol buffers), written by hand.
//
// Framing (tensorflow/core/lib/io/record_writer): uint64 length, uint32 masked CRC32C of the length, the
// bytes, uint32 masked CRC32C of the bytes; all little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launch/metrics/append_file.h"
#include "launch/metrics/step_record.h"

namespace strata {

// One event file of one run of the process. Events are with the operating system when a call returns, so
// TensorBoard can follow a running job. Not thread-safe.
class EventFile {
 public:
  using Scalars = std::vector<std::pair<std::string, double>>;  // tag, value; stored in single precision

  // Creates `folder` and in it events.out.tfevents.<seconds>.<host>.<pid>.v2. A run that resumes names the
  // step it continues after: TensorBoard then drops later points of earlier files in the folder.
  EventFile(FileSystem& files, const std::string& folder, double wall_seconds,
            std::optional<int64_t> resumed_after = std::nullopt);

  void write(int64_t step, double wall_seconds, const Scalars& scalars);
  void write(const StepRecord& record, double wall_seconds) {
    write(record.step, wall_seconds, scalars_of(record));
  }

  // train/loss, valid/loss, train/grad_norm, train/lr, perf/*, memory/<tier> in bytes, wait/<lane> in ms.
  static Scalars scalars_of(const StepRecord& record);

  const std::string& path() const { return file_.path(); }

 private:
  AppendFile file_;
};

}  // namespace strata
