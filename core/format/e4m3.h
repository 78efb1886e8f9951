// SPDX-License-Identifier: Apache-2.0
// E4M3 of OCP OFP8 ("FN"): 4 bits of exponent, 3 of mantissa, no infinity, one NaN a sign. Largest finite
// value 448, least normal 2^-6, least subnormal 2^-9.
#pragma once

#include "core/format/small_float.h"

namespace strata {

struct E4m3 : SmallFloat<E4m3> {
  static constexpr int kMantissaBits = 3, kBias = 7;
  static constexpr uint32_t kLargestCode = 0x7E, kNan = 0x7F;
  static constexpr bool kHasInfinity = false;
  static constexpr float kLargestValue = 448, kSaturatesFrom = 0x1.d00002p8f;  // half way, 464, goes down
};

}  // namespace strata
