// SPDX-License-Identifier: Apache-2.0
// Writes a GGUF file, version 3: its header, then tensors in the order they were declared in, aligned to 32
// bytes. Some of f32 are stored in blocks of Q8_0.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "checkpoint/adapters/gguf_values.h"
#include "checkpoint/logical.h"
#include "core/io/file_system.h"

namespace strata {

class GgufSink : public TensorSink {
 public:
  struct Options {
    GgufValues values;                        // in front of the tensors
    std::vector<bool> in_blocks;              // by tensor: f32 that are stored as Q8_0
    int64_t piece_bytes = int64_t{32} << 20;  // of one write, as it is given; a row at least
  };

  // `path` must not be there (Error(usage)). Until commit() everything lies in "<path>.partial", which goes
  // without it.
  GgufSink(FileSystem& files, std::string path, Options options);
  ~GgufSink() override;

  // Names are GGUF's. Assets are not taken: what they say is in the values.
  void declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
               std::vector<Asset> assets) override;
  std::vector<Rect> pieces(size_t tensor) const override;
  void write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) override;
  std::string finish() override;
  void commit() override;

 private:
  std::string partial() const { return path_ + ".partial"; }

  FileSystem& files_;
  std::string path_;
  Options options_;
  std::vector<TensorSpec> tensors_;
  std::vector<int64_t> places_;  // by tensor: its first byte
  std::unique_ptr<File> file_;
  bool written_ = false;               // something lies under the partial name
  std::atomic<int64_t> unwritten_{0};  // elements
};

}  // namespace strata
