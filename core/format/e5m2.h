// SPDX-License-Identifier: Apache-2.0
// E5M2 of OCP OFP8: the high byte of an IEEE half. 5 bits of exponent, 2 of mantissa, infinities and NaN as
// IEEE has them. Largest finite value 57344, least normal 2^-14, least subnormal 2^-16.
#pragma once

#include "core/format/small_float.h"

namespace strata {

struct E5m2 : SmallFloat<E5m2> {
  static constexpr int kMantissaBits = 2, kBias = 15;
  static constexpr uint32_t kLargestCode = 0x7B, kNan = 0x7F;
  static constexpr bool kHasInfinity = true;
  static constexpr float kLargestValue = 57344, kSaturatesFrom = 61440;  // half way goes up
};

}  // namespace strata
