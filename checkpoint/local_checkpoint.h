// SPDX-License-Identifier: Apache-2.0
// The checkpoint of a run on one rank: one file per saved step, OUT/checkpoints/step-00000100.strata. It
// appears under its name only when it is whole and durable; a crash leaves the files that were there before.
// Every tensor carries a CRC-32C. README.md of this folder describes the bytes.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/io/file_system.h"
#include "core/tensor/tensor.h"

namespace strata {

struct NamedTensor {
  std::string name;
  Tensor tensor;  // contiguous, in host memory
};

// Writes `path` atomically. `meta` is whatever the caller wants to find again. Throws IoError.
void save_local_checkpoint(FileSystem& files, const std::string& path, const nlohmann::json& meta,
                           std::span<const NamedTensor> tensors);

class LocalCheckpoint {
 public:
  // Reads and checks the table of contents. Throws Error(model) for a file that is no checkpoint, newer than
  // this program, damaged or cut short.
  LocalCheckpoint(FileSystem& files, const std::string& path);

  struct Entry {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    int64_t offset = 0;
    int64_t bytes = 0;
    uint32_t crc = 0;
  };
  const std::string& path() const { return path_; }
  const nlohmann::json& meta() const { return meta_; }
  const std::vector<Entry>& entries() const { return entries_; }
  const Entry* find(const std::string& name) const;

  // Fills `into`, which has the saved dtype and shape. Throws Error(model) naming the tensor when it is
  // missing, of another type or shape, or when its bytes do not give its checksum.
  void read(const std::string& name, const Tensor& into) const;

 private:
  [[noreturn]] void fail(Report report) const;

  std::string path_;
  std::unique_ptr<File> file_;
  nlohmann::json meta_;
  std::vector<Entry> entries_;
};

struct SavedStep {
  int64_t step = 0;
  std::string path;
};

std::string checkpoint_path(const std::string& directory, int64_t step);
// Committed checkpoints of a folder, oldest first; leftovers of unfinished saves are not among them.
std::vector<SavedStep> list_checkpoints(FileSystem& files, const std::string& directory);
// Removes the oldest ones until `keep` are left; never fewer than one.
void prune_checkpoints(FileSystem& files, const std::string& directory, int64_t keep);

}  // namespace strata
