// SPDX-License-Identifier: Apache-2.0
// A float of 8 bits: sign, exponent, mantissa, with subnormals. What the formats have in common; each has a
// file of its own with its limits (e4m3.h, e5m2.h).
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"

namespace strata {

// Format: kMantissaBits, kBias, kLargestCode (finite, positive), kNan.
template <typename Format>
struct SmallFloat {
  static constexpr int kShift = 23 - Format::kMantissaBits;  // bits of a float's mantissa that are dropped
  // Bit patterns of floats: the largest finite value, the least normal one.
  static constexpr uint32_t kLeastNormal = static_cast<uint32_t>(128 - Format::kBias) << 23;
  static constexpr uint32_t kRebias = static_cast<uint32_t>(127 - Format::kBias) << Format::kMantissaBits;
  static constexpr uint32_t kLargest = (Format::kLargestCode + kRebias) << kShift;

  STRATA_HD_INLINE static uint32_t mask(bool condition) { return 0u - static_cast<uint32_t>(condition); }

  // Rounds to nearest, ties to even. Saturates: what is beyond the largest finite value, infinity too,
  // becomes that one. NaN stays NaN, with its sign (as cvt.rn.satfinite does). Without branches: loops of it
  // are vectorized.
  STRATA_HD_INLINE static uint32_t encode_bits(float x) {
    const uint32_t pattern = std::bit_cast<uint32_t>(x), all = pattern & 0x7FFFFFFFu;
    const uint32_t magnitude = all < kLargest ? all : kLargest;
    // One unit in the last place of `magic` is the least subnormal: the addition rounds.
    constexpr uint32_t kMagic = kLeastNormal + (static_cast<uint32_t>(kShift) << 23);
    const float sum = std::bit_cast<float>(magnitude) + std::bit_cast<float>(kMagic);
    const uint32_t subnormal = std::bit_cast<uint32_t>(sum) - kMagic;
    const uint32_t half = (1u << (kShift - 1)) - 1 + (magnitude >> kShift & 1u);
    const uint32_t normal = ((magnitude + half) >> kShift) - kRebias;
    const uint32_t finite = magnitude < kLeastNormal ? subnormal : normal;
    const uint32_t code = all > 0x7F800000u ? Format::kNan : finite;
    return code | (pattern >> 24 & 0x80u);
  }
  STRATA_HD_INLINE static uint8_t encode(float x) { return static_cast<uint8_t>(encode_bits(x)); }

  // Up or down to a neighbour with the chance that makes the mean the number itself; `bits` is uniform in [0,
  // 2^16). As exact as 16 bits are: a chance is off by at most 2^-16. Saturates; NaN stays NaN.
  STRATA_HD_INLINE static uint8_t stochastic_encode(float x, uint32_t bits) {
    const uint32_t pattern = std::bit_cast<uint32_t>(x), sign = pattern >> 24 & 0x80u;
    uint32_t magnitude = pattern & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return static_cast<uint8_t>(sign | Format::kNan);
    if (magnitude > kLargest) magnitude = kLargest;
    // In units of the least subnormal (or of the last place), with 16 bits behind the point.
    uint32_t fixed = 0;
    if (magnitude < kLeastNormal) {
      constexpr uint32_t kUnits = static_cast<uint32_t>(127 + Format::kBias - 1 + Format::kMantissaBits + 16)
                                  << 23;  // 2^16 / least subnormal
      fixed = static_cast<uint32_t>(std::bit_cast<float>(magnitude) * std::bit_cast<float>(kUnits));
    } else {
      constexpr int kExtra = kShift > 16 ? kShift - 16 : 0;
      fixed = ((magnitude >> kExtra) << (16 - (kShift - kExtra))) - (kRebias << 16);
    }
    const uint32_t code = (fixed + bits) >> 16;
    return static_cast<uint8_t>(sign | (code < Format::kLargestCode ? code : Format::kLargestCode));
  }

  // Exact, in bf16 as well. Without branches.
  STRATA_HD_INLINE static float decode(uint8_t code) {
    const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24, magnitude = code & 0x7Fu;
    constexpr uint32_t kLeast = static_cast<uint32_t>(128 - Format::kBias - Format::kMantissaBits) << 23;
    const auto small = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) *
                                               std::bit_cast<float>(kLeast));
    const uint32_t large = (magnitude + kRebias) << kShift;
    // Masks, not choices: compilers move the product into a branch and do not vectorize that.
    const uint32_t is_small = mask(magnitude < (1u << Format::kMantissaBits));
    const uint32_t is_special = mask(magnitude > Format::kLargestCode);
    const uint32_t is_nan = mask(!Format::kHasInfinity || magnitude > Format::kLargestCode + 1);
    const uint32_t special = 0x7F800000u | (is_nan & 0x00400000u);
    const uint32_t finite = (small & is_small) | (large & ~is_small);
    return std::bit_cast<float>(sign | (special & is_special) | (finite & ~is_special));
  }
};

}  // namespace strata
