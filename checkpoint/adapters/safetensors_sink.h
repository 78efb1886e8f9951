// SPDX-License-Identifier: Apache-2.0
// Writes a folder of safetensors: model.safetensors, or model-00001-of-0000N.safetensors with their index,
// and the assets beside them. Tensors stay in the order they were declared in.
#pragma once

#include <map>
#include <memory>

#include "checkpoint/adapters/folder_sink.h"

namespace strata {

class SafetensorsSink : public FolderSink {
 public:
  struct Options {
    int64_t piece_bytes = int64_t{32} << 20;  // of one write
    int64_t file_bytes = int64_t{5} << 30;  // a new file begins before it is passed; one tensor is never cut
    int64_t sync_bytes = int64_t{256} << 20;  // that a power cut may cost
    bool keep_partial = false;                // without commit(): leave what was written, for another try
    std::string stem = "model";               // of the files' names
    std::string identity = {};                // what the tensors come from: another one starts anew
  };

  // A "<path>.partial" that is there is gone on with when what is declared is the same, else emptied.
  SafetensorsSink(FileSystem& files, std::string path, const Options& options);

  // States other than "param" are refused: the format has no place for them. The object "__metadata__" of
  // `metadata` (texts) goes into every file.
  void declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
               std::vector<Asset> assets) override;

 protected:
  void store(size_t tensor, size_t number, const Rect& piece, std::span<const std::byte> bytes) override;
  void sync() override;
  void complete() override;

 private:
  struct Place {
    size_t file;
    int64_t offset;
  };

  int64_t file_bytes_;
  std::string stem_;
  std::vector<Place> places_;  // by tensor
  std::vector<std::unique_ptr<File>> shards_;
  std::vector<std::string> names_;
  std::string index_;  // text; empty with one file
};

}  // namespace strata
