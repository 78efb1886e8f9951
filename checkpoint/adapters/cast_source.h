// SPDX-License-Identifier: Apache-2.0
// The weights of another source as another floating-point type. Rounds to nearest, ties to even; widening is
// exact. A finite number that becomes infinite is an Error(numeric).
#pragma once

#include "checkpoint/adapters/derived_source.h"

namespace strata {

// Stores a value as element i of `data`, rounded as said above. Whether a finite one stayed finite.
bool put_element(ElementType type, std::byte* data, int64_t i, double value);

class CastSource : public DerivedSource {
 public:
  // `source` lives longer; `type` is f32, bf16 or f16. Tensors of f32, bf16, f16 and f64 are converted,
  // others stay.
  CastSource(const TensorSource& source, ElementType type);
  // A type for each tensor, which is a float.
  CastSource(const TensorSource& source, std::span<const ElementType> types);

  std::span<const TensorSpec> tensors() const override { return tensors_; }
  std::optional<Digest> stored_digest(size_t tensor) const override;
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

 private:
  std::vector<TensorSpec> tensors_;
};

}  // namespace strata
