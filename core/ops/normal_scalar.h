// SPDX-License-Identifier: Apache-2.0
// Two normal numbers from two random words, one pair at a time: Box and Muller 1958 on the polynomials of the
// Cephes library (S. Moshier, "Methods and Programs for Mathematical Functions", 1989). Nothing but IEEE
// additions, products and a square root, each rounded once and in the order of the CPU's vector code
// (core/ops/cpu/vec_math.h), so that every device gives the same bits. Compile without contraction.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/base/host_device.h"

namespace strata {

struct NormalPair {
  float first = 0, second = 0;
};

// ln x for x in [2^-26, 1).
STRATA_HD inline float log_of_fraction(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  int exponent = static_cast<int>(bits >> 23) - 126;
  float m = std::bit_cast<float>((bits & 0x007FFFFFu) | 0x3F000000u);  // [0.5, 1)
  const bool below = m < 0.707106781186547524f;
  const float e = static_cast<float>(exponent - (below ? 1 : 0));
  m = (below ? m + m : m) - 1.0f;
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m + -1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m + -1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m + -1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m + -2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = p * m * z;
  y = y + e * -2.12194440e-4f;
  y = y - 0.5f * z;
  return (m + y) + e * 0.693359375f;
}

STRATA_HD inline NormalPair normal_pair(uint32_t bits1, uint32_t bits2, float std) {
  const float u1 = (static_cast<float>(bits1 >> 8) + 0.5f) * (1.0f / 16777216.0f);
  const float u2 = (static_cast<float>(bits2 >> 8) + 0.5f) * (1.0f / 16777216.0f);
  const float radius = std::sqrt(-2.0f * log_of_fraction(u1)) * std;
  // Nearest quarter turn, exactly; what is left is in [-1/8, 1/8] of a turn.
  const float shifted = u2 * 4.0f + 12582912.0f;
  const uint32_t quarter = std::bit_cast<uint32_t>(shifted) & 3u;
  const float a = (u2 - (shifted - 12582912.0f) * 0.25f) * 6.28318530717958648f;
  const float z = a * a;
  float s = -1.9515295891e-4f;
  s = s * z + 8.3321608736e-3f;
  s = s * z + -1.6666654611e-1f;
  s = s * z * a + a;
  float c = 2.443315711809948e-5f;
  c = c * z + -1.388731625493765e-3f;
  c = c * z + 4.166664568298827e-2f;
  c = c * (z * z) - 0.5f * z + 1.0f;
  const bool odd = (quarter & 1u) != 0;
  const uint32_t sin_sign = (quarter & 2u) << 30, cos_sign = ((quarter + 1u) & 2u) << 30;
  const float cosine = std::bit_cast<float>(std::bit_cast<uint32_t>(odd ? s : c) ^ cos_sign);
  const float sine = std::bit_cast<float>(std::bit_cast<uint32_t>(odd ? c : s) ^ sin_sign);
  return {radius * cosine, radius * sine};
}

}  // namespace strata
