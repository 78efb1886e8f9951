// SPDX-License-Identifier: Apache-2.0
// OUT: what a run writes, and whose it is. A folder with steps or checkpoints in it belongs to the run whose
// configuration stands there; another run is refused before anything is written over.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/step_folders.h"
#include "core/io/file_system.h"
#include "launch/config/load.h"

namespace strata {

class RunFolder {
 public:
  // Looks at OUT, then makes it (with its parents) or finds it to be this run's. Decides where training
  // starts: checkpoint.resume "auto" takes the newest whole checkpoint if there is any, "none" demands a
  // fresh OUT, a path names one. Throws Error(usage) when OUT holds another run or something else. Of several
  // ranks one leads; the others look, after it has returned, and write nothing.
  RunFolder(FileSystem& files, const LoadedConfig& loaded, bool leads = true);

  const std::string& path() const { return path_; }
  std::string checkpoints() const { return path_ + "/checkpoints"; }
  std::string metrics() const { return path_ + "/metrics.jsonl"; }
  std::string events() const { return path_ + "/tensorboard"; }
  std::string report() const { return path_ + "/report.html"; }
  std::string trace() const { return path_ + "/trace.json"; }
  std::string cache() const { return path_ + "/data"; }

  // The checkpoint to continue from; nothing: from the beginning.
  const std::optional<std::string>& resume_from() const { return resume_from_; }
  // Whether a run has come far enough here to have written a step down.
  bool has_begun() const { return has_begun_; }
  // Why that one, and which newer ones are not whole; nothing when it was named.
  const StepChoice& choice() const { return choice_; }

 private:
  void take(FileSystem& files, const LoadedConfig& loaded) const;
  void refuse_other_run(FileSystem& files, const LoadedConfig& loaded) const;

  std::string path_;
  bool has_begun_ = false;
  std::optional<std::string> resume_from_;
  StepChoice choice_;
};

}  // namespace strata
