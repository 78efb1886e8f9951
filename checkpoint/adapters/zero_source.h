// SPDX-License-Identifier: Apache-2.0
// Reads a checkpoint of DeepSpeed's ZeRO optimizers, stages 1 to 3, as its ranks wrote it: flat fp32 groups
// and moments, cut over the ranks, become parameters ("param", "m" and "v"); frozen parameters and buffers
// come from the model's states. One model-parallel rank: tensor and pipeline parallel checkpoints are
// refused. Source: DeepSpeed's zero_to_fp32.py and checkpoint/ds_to_universal.py, 0.10 to 0.19.
#pragma once

#include <memory>

#include "checkpoint/adapters/mapped_source.h"
#include "core/io/file_system.h"

namespace strata {

class ZeroSource : public TensorSource {
 public:
  // `path`: the folder of a step ("global_step100"), or one with a file `latest` that names it. Throws
  // Error(model): a rank's file missing, groups that do not hold their parameters. `files` lives longer.
  ZeroSource(FileSystem& files, const std::string& path);
  ~ZeroSource() override;

  static bool recognises(FileSystem& files, const std::string& path);

  std::string format() const override { return format_; }
  std::string path() const override { return path_; }
  std::span<const TensorSpec> tensors() const override { return whole_->tensors(); }
  // {"values": {"path": "what else there was in the first rank's model states, as text"}}.
  const nlohmann::json& metadata() const override { return whole_->metadata(); }
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    whole_->read(tensor, rect, into);
  }
  // Parameters that are others under a second name: "name: the same as other".
  const std::vector<std::string>& shared() const { return shared_; }

 private:
  class Fragments;  // each contiguous rectangle of a parameter as a tensor of its own
  std::string path_, format_;
  std::vector<std::string> shared_;
  std::unique_ptr<Fragments> fragments_;
  std::unique_ptr<MappedSource> whole_;
};

}  // namespace strata
