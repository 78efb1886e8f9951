// SPDX-License-Identifier: Apache-2.0
// The weights of another source as another floating-point type. Rounds to nearest, ties to even; widening is
// exact. A finite number that becomes infinite is an Error(numeric).
#pragma once

#include "checkpoint/logical.h"

namespace strata {

// Stores a value as element i of `data`, rounded as said above. Whether a finite one stayed finite.
bool put_element(ElementType type, std::byte* data, int64_t i, double value);

class CastSource : public TensorSource {
 public:
  // `source` lives longer; `type` is f32, bf16 or f16. Tensors of f32, bf16, f16 and f64 are converted,
  // others stay.
  CastSource(const TensorSource& source, ElementType type);
  // A type for each tensor, which is a float.
  CastSource(const TensorSource& source, std::span<const ElementType> types);

  std::string format() const override { return source_.format(); }
  std::string path() const override { return source_.path(); }
  std::span<const TensorSpec> tensors() const override { return tensors_; }
  const nlohmann::json& metadata() const override { return source_.metadata(); }
  std::vector<Asset> assets() const override { return source_.assets(); }
  std::optional<Digest> stored_digest(size_t tensor) const override;
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

 private:
  const TensorSource& source_;
  std::vector<TensorSpec> tensors_;
};

}  // namespace strata
