// SPDX-License-Identifier: Apache-2.0
// Inverted dropout (Srivastava et al. 2014): an element becomes zero with probability p and is divided by
// 1 - p otherwise. Which ones is drawn from Philox by their place in a whole tensor, so that nothing is kept
// for the backward pass, and neither layout, threads, device nor recomputation change a bit.
#pragma once

#include <cmath>

#include "core/base/philox.h"
#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// out = what is left of x (+ add)
struct Dropout {
  Tensor x;         // [rows, columns], f32 or bf16, any row stride
  Tensor add = {};  // the same, or absent
  Tensor out;       // the same; may be x or add
  float rate;       // p, from 0 to 0.999; taken to the nearest multiple of 2^-16
  RandomKey key;
  // x[r, c] is element `first` + r * `pitch` + c of the whole tensor that `key` names.
  uint64_t first = 0, pitch = 0;
};
void dropout(Stream& stream, const Dropout& args);

// Elements that one Philox block serves: element i takes 16 bits of block i / 8.
inline constexpr uint64_t kDropsPerBlock = 8;

// What every device compares and multiplies with.
struct DropoutRate {
  uint32_t below = 0;  // 16 bits that are less: dropped
  float kept = 1;      // the factor of the others
};
inline DropoutRate dropout_rate(float p) {
  const auto below = static_cast<uint32_t>(std::lround(static_cast<double>(p) * 65536));
  return {below, static_cast<float>(65536.0 / (65536.0 - below))};
}

// The factor of element `index` out of its block.
STRATA_HD constexpr float dropout_factor(const PhiloxBlock& block, uint64_t index, const DropoutRate& rate) {
  const uint32_t bits = (block[index % kDropsPerBlock / 2] >> (index % 2 * 16)) & 0xFFFFu;
  return bits < rate.below ? 0.0f : rate.kept;
}

}  // namespace strata
