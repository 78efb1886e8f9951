// SPDX-License-Identifier: Apache-2.0
// Small checkpoints with known content for the tests of this folder.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "checkpoint/strata_sink.h"
#include "core/base/hash.h"
#include "core/io/file_system.h"

namespace strata {

// A folder that goes when the test ends.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "strata-checkpoint-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Element i of tensor t, as bytes: any value, but the same everywhere.
inline std::vector<std::byte> sample_bytes(const TensorSpec& tensor, uint64_t version = 0) {
  std::vector<std::byte> bytes(static_cast<size_t>(tensor.bytes()));
  const uint64_t key = hash_combine(hash_name(tensor.name + "/" + tensor.state), version);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(mix64(key + i));
  return bytes;
}

inline std::vector<TensorSpec> sample_tensors() {
  return {
      {.name = "embedding.weight", .type = ElementType::f32, .shape = {96, 40}, .role = "embedding"},
      {.name = "embedding.weight", .state = "m", .type = ElementType::bf16, .shape = {96, 40}},
      {.name = "layers.0.norm.weight", .type = ElementType::f32, .shape = {40}},
      {.name = "layers.0.up.weight", .type = ElementType::bf16, .shape = {33, 47}},
      {.name = "layers.0.experts", .type = ElementType::f8_e4m3, .shape = {5, 7, 11}},
      {.name = "counter", .type = ElementType::i64, .shape = {}},
      {.name = "nothing", .type = ElementType::f32, .shape = {0, 3}},
      {.name = "mask", .type = ElementType::boolean, .shape = {9}},
  };
}

// Writes sample_tensors() with small blocks and pieces, so that there are several of each.
inline void write_sample(FileSystem& files, const std::string& path, int64_t step = 7, uint64_t version = 0) {
  StrataSink sink(files, path, {.step = step, .block_bytes = 4096, .piece_bytes = 5000, .shard_bytes = 9000});
  const std::vector<TensorSpec> tensors = sample_tensors();
  sink.declare(tensors, {{"note", "sample"}}, {{"config.json", R"({"layers":1})"}, {"tokenizer.json", "{}"}});
  for (size_t t = 0; t < tensors.size(); ++t) {
    const auto whole = sample_bytes(tensors[t], version);
    const int64_t size = size_of(tensors[t].type);
    for (const Rect& piece : sink.pieces(t)) {
      std::vector<std::byte> part(static_cast<size_t>(piece.numel() * size));
      copy_rect(piece, Rect::whole(tensors[t].shape), whole.data(), piece,
                row_major(part.data(), piece.extent, size), size);
      sink.write(t, piece, part);
    }
  }
  sink.commit();
}

// All of a tensor.
inline std::vector<std::byte> read_whole(const TensorSource& source, size_t tensor) {
  const TensorSpec& logical = source.tensors()[tensor];
  std::vector<std::byte> bytes(static_cast<size_t>(logical.bytes()));
  source.read(tensor, Rect::whole(logical.shape),
              row_major(bytes.data(), logical.shape, size_of(logical.type)));
  return bytes;
}

}  // namespace strata
