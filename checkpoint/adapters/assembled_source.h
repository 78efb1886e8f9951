// SPDX-License-Identifier: Apache-2.0
// A source whose tensors were stored in parts: the parts as they lie in files, and the whole tensors made of
// them. A format's constructor fills both in.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/adapters/mapped_source.h"

namespace strata {

class AssembledSource : public TensorSource {
 public:
  std::string format() const override { return format_; }
  std::string path() const override { return path_; }
  std::span<const TensorSpec> tensors() const override { return whole_->tensors(); }
  const nlohmann::json& metadata() const override { return whole_->metadata(); }
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    whole_->read(tensor, rect, into);
  }

 protected:
  explicit AssembledSource(std::string path) : path_(std::move(path)) {}

  // Throws Error(model) when parts do not cover a tensor exactly once.
  void assemble(std::string format, std::unique_ptr<TensorSource> parts, std::vector<MappedTensor> tensors,
                nlohmann::json metadata) {
    format_ = std::move(format);
    parts_ = std::move(parts);
    whole_ = std::make_unique<MappedSource>(*parts_, std::move(tensors), std::move(metadata),
                                            std::vector<Asset>{});
  }

 private:
  std::string path_, format_;
  std::unique_ptr<TensorSource> parts_;
  std::unique_ptr<MappedSource> whole_;
};

}  // namespace strata
