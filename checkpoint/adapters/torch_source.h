// SPDX-License-Identifier: Apache-2.0
// Reads what torch.save wrote: a ZIP archive of a pickle and the tensors' bytes. Nothing in it is ever run.
// Every tensor in dicts and lists is found; its name is the path to it, joined by '.'
// ("model.layers.0.weight").
#pragma once

#include "checkpoint/adapters/pickle.h"
#include "checkpoint/adapters/stored_tensors.h"

namespace strata {

class TorchSource : public StoredTensors {
 public:
  // One file, or a folder with pytorch_model.bin or pytorch_model.bin.index.json and its files. Throws
  // Error(model).
  TorchSource(FileSystem& files, const std::string& path);

  static bool recognises(FileSystem& files, const std::string& path);

  std::string format() const override;
  std::string path() const override { return path_; }
  // {"values": {"path": "what else there was, as text"}}.
  const nlohmann::json& metadata() const override { return metadata_; }

 private:
  void read_archive(size_t file);

  std::string path_;
  nlohmann::json metadata_ = nlohmann::json::object();
};

}  // namespace strata
