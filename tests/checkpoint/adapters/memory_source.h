// SPDX-License-Identifier: Apache-2.0
// A checkpoint that is made up in memory: sample_bytes of each tensor, or what a test sets.
#pragma once

#include <cstring>

#include "tests/checkpoint/sample.h"

namespace strata {

class MemorySource : public TensorSource {
 public:
  explicit MemorySource(std::vector<TensorSpec> tensors) : tensors_(std::move(tensors)) {
    for (const TensorSpec& tensor : tensors_) contents_.push_back(sample_bytes(tensor));
  }

  std::string format() const override { return "memory"; }
  std::string path() const override { return "memory"; }
  std::span<const TensorSpec> tensors() const override { return tensors_; }
  const nlohmann::json& metadata() const override { return metadata_; }
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    copy_rect(rect, Rect::whole(tensors_[tensor].shape), contents_[tensor].data(), rect, into,
              size_of(tensors_[tensor].type));
  }
  void set(const std::string& name, std::vector<std::byte> bytes) {
    for (size_t t = 0; t < tensors_.size(); ++t)
      if (tensors_[t].name == name) contents_[t] = std::move(bytes);
  }
  std::vector<std::byte> whole(const std::string& name) const {
    for (size_t t = 0; t < tensors_.size(); ++t)
      if (tensors_[t].name == name) return contents_[t];
    throw std::runtime_error(name);
  }

 private:
  std::vector<TensorSpec> tensors_;
  std::vector<std::vector<std::byte>> contents_;
  nlohmann::json metadata_ = nlohmann::json::object();
};

inline std::vector<std::byte> whole_of(const TensorSource& source, const std::string& name) {
  for (size_t t = 0; t < source.tensors().size(); ++t)
    if (source.tensors()[t].name == name) return read_whole(source, t);
  throw std::runtime_error(name);
}

}  // namespace strata
