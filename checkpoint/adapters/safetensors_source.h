// SPDX-License-Identifier: Apache-2.0
// Reads safetensors: one file, or a folder with model.safetensors or an index and its files. Names are those
// of the files; hugging_face.h gives them their logical ones.
#pragma once

#include "checkpoint/adapters/stored_tensors.h"

namespace strata {

class SafetensorsSource : public StoredTensors {
 public:
  // Reads and checks all headers; with an index, also that files and index name the same tensors. Throws
  // Error(model).
  SafetensorsSource(FileSystem& files, const std::string& path);

  // Whether `path` is something this class reads.
  static bool recognises(FileSystem& files, const std::string& path);

  std::string format() const override;
  std::string path() const override { return path_; }
  // {"__metadata__": {...}} of the first file, when it has any.
  const nlohmann::json& metadata() const override { return metadata_; }

 private:
  void read_header(size_t file);
  void read_index(FileSystem& files, const std::string& index_path);

  std::string path_;
  nlohmann::json metadata_ = nlohmann::json::object();
};

}  // namespace strata
