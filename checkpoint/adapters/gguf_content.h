// SPDX-License-Identifier: Apache-2.0
// A model's tensors as a GGUF file will have them: matrices of the file's type, all else f32, numbers that go
// into blocks rounded to what those can hold, and the rotary frequencies' divisors where they are scaled.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/adapters/cast_source.h"

namespace strata {

// Whether a tensor under its GGUF name is written as Q8_0: matrices of whole blocks; f16 holds the others.
bool goes_into_q8_0(const TensorSpec& tensor);

struct GgufContentWish {
  std::optional<ElementType> type;  // of matrices: f32, f16 or bf16; nothing: as they are
  bool q8_0 = false;                // in place of a type
  std::vector<float> rope_factors;  // a tensor of their own; empty: none
};

class GgufContent : public TensorSource {
 public:
  // `source` has the names of GGUF and lives longer. Throws Error(usage) for tensors that are no floats.
  GgufContent(const TensorSource& source, GgufContentWish wish);

  std::string format() const override { return source_.format(); }
  std::string path() const override { return source_.path(); }
  std::span<const TensorSpec> tensors() const override { return tensors_; }
  const nlohmann::json& metadata() const override { return source_.metadata(); }
  // Numbers of blocks come as f32, rounded: encoding them loses nothing more.
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

  // By tensor: written as Q8_0.
  const std::vector<bool>& in_blocks() const { return in_blocks_; }

 private:
  const TensorSource& source_;
  GgufContentWish wish_;
  std::vector<TensorSpec> tensors_;
  std::vector<bool> in_blocks_;
  std::unique_ptr<CastSource> cast_;
};

}  // namespace strata
