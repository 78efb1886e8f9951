// SPDX-License-Identifier: Apache-2.0
// The Llama family's queries and keys, in our order or in GGUF's. GGUF keeps the rows of a head so that the
// two of a rotated pair are neighbours (0, d/2, 1, d/2 + 1, ...); here, as at Hugging Face, the first halves
// of all pairs come before the second (0, 1, ..., d/2, d/2 + 1, ...). Rows move, no element changes. Source:
// convert_hf_to_gguf.py of llama.cpp, LlamaModel.permute.
#pragma once

#include <map>

#include "checkpoint/adapters/derived_source.h"

namespace strata {

class RotaryOrderSource : public DerivedSource {
 public:
  // `head_rows`: the rows of a head (even, a divisor of the tensor's) by index of the tensors to be put in
  // order; all others are as they were. `source` lives longer.
  enum class To : uint8_t { ours, gguf };
  RotaryOrderSource(const TensorSource& source, std::map<size_t, int64_t> head_rows, To to = To::ours);

  std::span<const TensorSpec> tensors() const override { return source_.tensors(); }
  std::optional<Digest> stored_digest(size_t tensor) const override;
  // Holds the stored rows of one head beside the result.
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

 private:
  std::map<size_t, int64_t> head_rows_;
  To to_;
};

}  // namespace strata
