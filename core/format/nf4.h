// SPDX-License-Identifier: Apache-2.0
// NormalFloat of 4 bits (Dettmers et al. 2023, arXiv:2305.14314, section 3 and appendix E): sixteen values in
// [-1, 1], 0 among them, that are about the quantiles of a normal distribution whose largest magnitude is 1.
// Times the largest magnitude of their block, in f32. A block of 64 lies as that factor, then 32 bytes of two
// codes each, the earlier element in the high half. Exact: 0, the element of largest magnitude. Rounds to the
// nearest value; NaN and infinity have none.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace strata::nf4 {

inline constexpr int kElements = 64;
inline constexpr int kCodeBytes = kElements / 2;

STRATA_HD constexpr float value(int code) {
  constexpr float kValues[16] = {-1.0f,
                                 -0.6961928009986877f,
                                 -0.5250730514526367f,
                                 -0.39491748809814453f,
                                 -0.28444138169288635f,
                                 -0.18477343022823334f,
                                 -0.09105003625154495f,
                                 0.0f,
                                 0.07958029955625534f,
                                 0.16093020141124725f,
                                 0.24611230194568634f,
                                 0.33791524171829224f,
                                 0.44070982933044434f,
                                 0.5626170039176941f,
                                 0.7229568362236023f,
                                 1.0f};
  return kValues[code];
}

// Of x in [-1, 1]: the first code whose upper bound, half-way to the next value, is not below x.
constexpr int code(float x) {
  int c = 0;
  while (c < 15 && x > 0.5f * (value(c) + value(c + 1))) ++c;
  return c;
}

// Element i of the block's codes.
STRATA_HD constexpr float decode(const uint8_t* codes, int i, float factor) {
  return value(i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15) * factor;
}

}  // namespace strata::nf4
