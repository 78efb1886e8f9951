// SPDX-License-Identifier: Apache-2.0
// Draws the next token from logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace strata {

struct SamplingOptions {
  double temperature = 1.0;  // 0: always the likeliest token
  int64_t top_k = 0;         // only the k likeliest; 0: all
  double top_p = 1.0;        // only the likeliest that together reach this probability (nucleus sampling)
  uint64_t seed = 0;
};

class TokenSampler {
 public:
  // Throws Error(usage) for an option out of range.
  explicit TokenSampler(const SamplingOptions& options);

  // The token drawn for position `index` of the text: the same for the same seed, index and logits.
  int32_t draw(std::span<const float> logits, int64_t index);

 private:
  SamplingOptions options_;
  std::vector<int32_t> order_;
  std::vector<double> weights_;
};

}  // namespace strata
