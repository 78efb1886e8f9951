// SPDX-License-Identifier: Apache-2.0
// Matrices of e4m3 codes with a factor for every block (hf_quantization.h) as the f32 matrices that they
// stand for: code * factor, rounded to f32 as the models' own kernels do (exact where factors are powers of
// two). Factors may be f32 or bf16; they are no tensors of their own here. All other tensors are as they
// were.
#pragma once

#include "checkpoint/adapters/cast_source.h"
#include "checkpoint/adapters/hf_quantization.h"

namespace strata {

class ScaledSource : public DerivedSource {
 public:
  // `source` lives longer. Throws Error(model) that lists codes without factors, factors without codes and
  // factors of another shape or type.
  ScaledSource(const TensorSource& source, const ScaledBlocks& blocks);

  // Whether there are matrices of codes at all.
  static bool is_needed(const TensorSource& source);

  std::string format() const override;
  std::span<const TensorSpec> tensors() const override { return tensors_; }
  std::optional<Digest> stored_digest(size_t tensor) const override;
  // Holds a million elements at a time beside the result.
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

 private:
  struct Place {
    size_t from;                    // of the source
    std::optional<size_t> factors;  // of codes
  };

  CastSource factors_;  // as f32
  ScaledBlocks blocks_;
  std::vector<TensorSpec> tensors_;
  std::vector<Place> places_;  // by tensor
};

}  // namespace strata
