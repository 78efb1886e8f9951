// SPDX-License-Identifier: Apache-2.0
// log.record: the record of a run as a file, written step by step by rank 0.
#pragma once

#include <memory>
#include <string>

#include "core/dist/communicator.h"
#include "core/io/file_system.h"
#include "launch/bisect/step_recorder.h"
#include "launch/metrics/append_file.h"

namespace strata {

class RecordWriter {
 public:
  // Collective over `everyone`. An earlier record at `path` goes; Error(usage) when something else lies
  // there. All must outlive this.
  RecordWriter(FileSystem& files, const Config& config, const RankPlace& place, const StepPlan& plan,
               Communicator& everyone);

  StepRecorder& recorder() { return recorder_; }
  // What was recorded since the last call, of all ranks. Collective.
  void write();

 private:
  Communicator& everyone_;
  StepRecorder recorder_;
  std::unique_ptr<AppendFile> file_;  // of rank 0
};

}  // namespace strata
