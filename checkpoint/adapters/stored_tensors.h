// SPDX-License-Identifier: Apache-2.0
// The part that formats of plain bytes share: each tensor lies little-endian somewhere in a file, row-major
// and without gaps unless strides say otherwise. A format's own file finds out where and proves that it lies
// inside.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "core/io/file_system.h"

namespace strata {

inline bool is_folder(FileSystem& files, const std::string& path) {
  const auto info = files.info(path);
  return info && info->type == FileInfo::Type::directory;
}

struct StoredTensor {
  TensorSpec logical;
  size_t file = 0;     // as add_file said
  int64_t offset = 0;  // of its first byte there
  // Bytes from an element to the next in each dim, none negative; nothing: row-major.
  std::optional<std::array<int64_t, Shape::kMaxRank>> strides = std::nullopt;
};

class StoredTensors : public TensorSource {
 public:
  std::span<const TensorSpec> tensors() const override { return tensors_; }
  // Reads what lies close together at once; a contiguous range goes straight to `into`.
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

 protected:
  explicit StoredTensors(FileSystem& files) : files_(files) {}

  // Returns the file's index. A symbolic link is refused when the file is opened.
  size_t add_file(std::string path);
  size_t num_files() const { return paths_.size(); }
  void add(StoredTensor tensor);
  std::shared_ptr<File> file(size_t index) const;

 private:
  FileSystem& files_;
  std::vector<std::string> paths_;
  std::vector<TensorSpec> tensors_;
  struct Place {
    size_t file;
    int64_t offset;
    std::array<int64_t, Shape::kMaxRank> strides;
  };
  std::vector<Place> places_;                                           // by tensor
  mutable std::mutex mutex_;                                            // guards open_
  mutable std::vector<std::pair<size_t, std::shared_ptr<File>>> open_;  // the last used last
};

}  // namespace strata
