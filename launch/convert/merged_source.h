// SPDX-License-Identifier: Apache-2.0
// A model with adapters worked into its weights: W + s B A, summed in double precision and rounded once to
// the weight's own type; and with tensors that were trained whole beside them in the place of its own.
// Rectangles are made as they are read; nothing is kept.
#pragma once

#include <optional>

#include "checkpoint/adapters/cast_source.h"

namespace strata {

class MergedSource : public TensorSource {
 public:
  // Both of logical tensors, and both live longer. Throws Error(model) for adapters of layers that the model
  // does not have, or of other shapes.
  MergedSource(const TensorSource& model, const TensorSource& adapters, double scale);

  std::string format() const override { return model_.format(); }
  std::string path() const override { return model_.path(); }
  std::span<const TensorSpec> tensors() const override { return model_.tensors(); }
  const nlohmann::json& metadata() const override { return model_.metadata(); }
  std::vector<Asset> assets() const override { return model_.assets(); }
  std::optional<Digest> stored_digest(size_t tensor) const override;
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

  int64_t num_merged() const;
  int64_t num_replaced() const;

 private:
  struct Pair {
    size_t a, b;  // tensors of the adapters
  };

  const TensorSource& model_;
  CastSource model_f32_;
  CastSource adapters_;  // as f32; what is trained whole in the type of what it replaces
  double scale_;
  std::vector<std::optional<Pair>> pairs_;       // by tensor of the model
  std::vector<std::optional<size_t>> replaced_;  // alike: the tensor of the adapters
};

}  // namespace strata
