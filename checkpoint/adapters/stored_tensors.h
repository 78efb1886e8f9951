// SPDX-License-Identifier: Apache-2.0
// The part that formats of plain bytes share: each tensor lies row-major, little-endian and without gaps
// somewhere in a file. A format's own file finds out where and proves that it lies inside.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "core/io/file_system.h"

namespace strata {

struct StoredTensor {
  TensorSpec logical;
  size_t file = 0;     // as add_file said
  int64_t offset = 0;  // of its first byte there
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
  std::vector<std::pair<size_t, int64_t>> places_;                      // file and offset, by tensor
  mutable std::mutex mutex_;                                            // guards open_
  mutable std::vector<std::pair<size_t, std::shared_ptr<File>>> open_;  // the last used last
};

}  // namespace strata
