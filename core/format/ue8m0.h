// SPDX-License-Identifier: Apache-2.0
// UE8M0 of the OCP microscaling formats (MX specification 1.0, section 5.4.1): powers of two from 2^-127 to
// 2^127 in a byte, as factors of blocks. No sign, no zero; 0xFF is NaN.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"

namespace strata {

struct Ue8m0 {
  static constexpr uint8_t kLargestCode = 0xFE, kNan = 0xFF;

  // Nearest, half way to the larger (IEEE 754-2019, section 4.3.1, where no digit is even). Saturates finite
  // numbers to [2^-127, 2^127], 0 too; negative numbers, infinity and NaN are NaN.
  STRATA_HD static uint8_t encode(float x) {
    const uint32_t pattern = std::bit_cast<uint32_t>(x), fraction = pattern & kFraction, code = pattern >> 23;
    if (pattern >= kInfinity) return x == 0 ? 0 : kNan;   // -0 is 0
    if (code == 0) return fraction >= 0x600000u ? 1 : 0;  // 2^-127 is a subnormal float: fraction 0x400000
    return limited(code + (fraction >= kHalf ? 1 : 0));
  }

  // The least power of two that is not below x: what is divided by the factor never exceeds what it was to
  // fit in.
  STRATA_HD static uint8_t encode_up(float x) {
    const uint32_t pattern = std::bit_cast<uint32_t>(x), fraction = pattern & kFraction, code = pattern >> 23;
    if (pattern >= kInfinity) return x == 0 ? 0 : kNan;
    if (code == 0) return fraction > kHalf ? 1 : 0;
    return limited(code + (fraction != 0 ? 1 : 0));
  }

  STRATA_HD static float decode(uint8_t code) {
    if (code == kNan) return std::bit_cast<float>(0x7FC00000u);
    return std::bit_cast<float>(code == 0 ? kHalf : static_cast<uint32_t>(code) << 23);
  }

 private:
  static constexpr uint32_t kInfinity = 0x7F800000u, kFraction = 0x7FFFFFu, kHalf = 0x400000u;
  STRATA_HD static uint8_t limited(uint32_t code) {
    return static_cast<uint8_t>(code < kLargestCode ? code : kLargestCode);
  }
};

}  // namespace strata
