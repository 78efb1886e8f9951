// SPDX-License-Identifier: Apache-2.0
// Blocks of 64 integers of 8 bits times one f32 factor, the block's largest magnitude / 127 (as Dettmers et
// al. 2022, arXiv:2110.02861, with a linear code). A block lies as the factor, then 64 signed bytes in [-127,
// 127]. Rounds to nearest, ties to even: off by at most half a factor. NaN and infinity have no code.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/base/host_device.h"

namespace strata::int8_blocks {

inline constexpr int kElements = 64;
inline constexpr int kCodeBytes = kElements;

// Of x / factor, at most 127 but for rounding.
inline int8_t code(float quotient) {
  const float rounded = std::nearbyint(quotient);
  return static_cast<int8_t>(rounded > 127 ? 127 : rounded < -127 ? -127 : rounded);
}

STRATA_HD constexpr float decode(const uint8_t* codes, int i, float factor) {
  return static_cast<float>(static_cast<int8_t>(codes[i])) * factor;
}

}  // namespace strata::int8_blocks
