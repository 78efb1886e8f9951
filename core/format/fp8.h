// SPDX-License-Identifier: Apache-2.0
// The 8-bit float formats by name, and the one formula for factors that CPU, GPU and tests share.
#pragma once

#include <cstdint>

#include "core/format/e4m3.h"
#include "core/format/e5m2.h"

namespace strata {

enum class Fp8Format : uint8_t { e4m3, e5m2 };

STRATA_HD constexpr float largest_finite(Fp8Format format) {
  return format == Fp8Format::e4m3 ? E4m3::kLargestValue : E5m2::kLargestValue;
}
// Whether rounding without a limit would go beyond the largest value. Not of NaN.
STRATA_HD inline bool saturates(Fp8Format format, float x) {
  const float from = format == Fp8Format::e4m3 ? E4m3::kSaturatesFrom : E5m2::kSaturatesFrom;
  return x >= from || x <= -from;
}
STRATA_HD inline uint8_t encode(Fp8Format format, float x) {
  return format == Fp8Format::e4m3 ? E4m3::encode(x) : E5m2::encode(x);
}
STRATA_HD inline float decode(Fp8Format format, uint8_t code) {
  return format == Fp8Format::e4m3 ? E4m3::decode(code) : E5m2::decode(code);
}

enum class ScaleKind : uint8_t { f32, pow2 };

// Elements become codes of x * multiplier; what they stand for is code * factor.
struct Fp8Scale {
  float multiplier, factor;
};

// Of elements whose largest magnitude is `amax`; `largest` is the format's largest value.
STRATA_HD inline Fp8Scale scale_of(float largest, float amax, ScaleKind kind) {
  constexpr uint32_t kInfinity = 0x7F800000u, kLargestFloat = 0x7F7FFFFFu;
  if (amax == 0 || (std::bit_cast<uint32_t>(amax) & 0x7FFFFFFFu) >= kInfinity) return {1, 1};
  uint32_t multiplier = std::bit_cast<uint32_t>(largest / amax);
  if (multiplier >= kInfinity) multiplier = kLargestFloat;
  if (kind == ScaleKind::pow2) multiplier &= kInfinity;
  return {std::bit_cast<float>(multiplier), 1 / std::bit_cast<float>(multiplier)};
}

}  // namespace strata
