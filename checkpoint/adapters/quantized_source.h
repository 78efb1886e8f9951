// SPDX-License-Identifier: Apache-2.0
// Matrices as e4m3 codes and a factor for every 128x128 block (hf_quantization.h): what the `block` recipe of
// 8-bit training makes of a weight, bit for bit (core/ops/quantize.h). Codes and factors are made as they are
// read, nothing is kept: who reads both reads the matrix twice.
#pragma once

#include <vector>

#include "checkpoint/adapters/derived_source.h"
#include "checkpoint/adapters/hf_quantization.h"
#include "core/format/fp8.h"

namespace strata {

class QuantizedSource : public DerivedSource {
 public:
  // `source` lives longer. chosen[t]: its tensor t, an f32 matrix, becomes two, codes and behind them
  // factors.
  QuantizedSource(const TensorSource& source, const std::vector<bool>& chosen, ScaleKind kind);

  std::span<const TensorSpec> tensors() const override { return tensors_; }
  std::optional<Digest> stored_digest(size_t tensor) const override;
  // Holds a million elements at a time beside the result. A weight that is infinite or no number is an
  // Error(numeric).
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

 private:
  enum class What : uint8_t { as_it_is, codes, factors };
  struct Place {
    size_t from;  // of the source
    What what;
  };

  ScaleKind kind_;
  ScaledBlocks blocks_;
  std::vector<TensorSpec> tensors_;
  std::vector<Place> places_;  // by tensor
};

}  // namespace strata
