// SPDX-License-Identifier: Apache-2.0
// Reads a checkpoint of DeepSpeed's ZeRO optimizers, stages 1 to 3, as its ranks wrote it: flat fp32 groups
// and moments, cut over the ranks, become parameters ("param", "m" and "v"); frozen parameters and buffers
// come from the model's states. One model-parallel rank: tensor and pipeline parallel checkpoints are
// refused. Source: DeepSpeed's zero_to_fp32.py and checkpoint/ds_to_universal.py, 0.10 to 0.19.
#pragma once

#include "checkpoint/adapters/assembled_source.h"
#include "core/io/file_system.h"

namespace strata {

class ZeroSource : public AssembledSource {
 public:
  // `path`: the folder of a step ("global_step100"), or one with a file `latest` that names it. metadata() is
  // {"values": {"path": "what else there was in the first rank's model states, as text"}}, and "step". Throws
  // Error(model): a rank's file missing, groups that do not hold their parameters. `files` lives longer.
  ZeroSource(FileSystem& files, const std::string& path);

  static bool recognises(FileSystem& files, const std::string& path);

  // Parameters that are others under a second name: "name: the same as other".
  const std::vector<std::string>& shared() const { return shared_; }

 private:
  class Fragments;  // each contiguous rectangle of a parameter as a tensor of its own
  std::vector<std::string> shared_;
};

}  // namespace strata
