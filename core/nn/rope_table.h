// SPDX-License-Identifier: Apache-2.0
// Angles of rotary position embedding.
#pragma once

#include "core/nn/context.h"

namespace strata {

struct RopeSpec {
  double theta = 10000;
  // Frequency scaling of the Llama 3.1 release: wavelengths longer than original_positions / low_freq_factor
  // are stretched by `factor`, those shorter than original_positions / high_freq_factor kept, between them
  // interpolated.
  bool llama3_scaling = false;
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  double original_positions = 8192;
};

// Cosines and sines for positions [0, positions) of heads of `head_dim`, computed in double on the host,
// rounded once. `allocator` is of the stream's device; the call waits.
RopeTable make_rope_table(Stream& stream, Allocator& allocator, const RopeSpec& spec, int64_t positions,
                          int64_t head_dim);

}  // namespace strata
