// SPDX-License-Identifier: Apache-2.0
// Reads a GGUF file: numbers as they are, blocks of Q8_0, Q4_0 and Q4_1 as f32. Names are those of the file;
// gguf_names.h gives them their logical ones.
#pragma once

#include "checkpoint/adapters/gguf_header.h"
#include "checkpoint/adapters/stored_tensors.h"

namespace strata {

struct BlockFormat;

class GgufSource : public StoredTensors {
 public:
  // Reads and checks the header: types known, tensors inside the file and apart. Throws Error(model).
  GgufSource(FileSystem& files, const std::string& path);

  // Whether `path` begins as such a file does.
  static bool recognises(FileSystem& files, const std::string& path);

  std::string format() const override;  // "GGUF 3, Q4_1 and others"
  std::string path() const override { return path_; }
  // {"gguf": {...}}: what it says beside the tokenizer.
  const nlohmann::json& metadata() const override { return metadata_; }
  // Blocks are decoded through a buffer of at most 1 MiB.
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

  const GgufHeader& header() const { return header_; }
  std::vector<std::string> texts(const std::string& key, int64_t most) const;
  std::vector<double> numbers(const std::string& key, int64_t most) const;

 private:
  void check_apart(int64_t file_bytes) const;

  std::string path_;
  GgufHeader header_;
  nlohmann::json metadata_;
  std::vector<const BlockFormat*> blocks_;  // by tensor; null: as it is
};

}  // namespace strata
