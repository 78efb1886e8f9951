// SPDX-License-Identifier: Apache-2.0
// Reads DeepSpeed's universal checkpoints (version 0.4): zero/<parameter>/{fp32,exp_avg,exp_avg_sq}.pt, a
// file a parameter and state, whole. They become states "param", "m" and "v". Source: DeepSpeed's
// checkpoint/ds_to_universal.py and universal_checkpoint.py.
#pragma once

#include "checkpoint/adapters/stored_tensors.h"

namespace strata {

class UniversalSource : public StoredTensors {
 public:
  // `path`: the folder that holds zero/, or one with a file `latest_universal` that names it. Throws
  // Error(model).
  UniversalSource(FileSystem& files, const std::string& path);

  static bool recognises(FileSystem& files, const std::string& path);

  std::string format() const override { return "DeepSpeed universal"; }
  std::string path() const override { return path_; }
  // {"values": {"optimizer_state": ..., "<parameter>.step": ...}}, as text.
  const nlohmann::json& metadata() const override { return metadata_; }
  // Frozen parameters of a ZeRO-3 job, which DeepSpeed's converter leaves out.
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  void read_parameter(FileSystem& files, const std::string& name, const Shape* shape);

  std::string path_;
  std::vector<std::string> left_out_;
  nlohmann::json metadata_ = nlohmann::json::object();
};

}  // namespace strata
