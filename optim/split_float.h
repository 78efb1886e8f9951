// SPDX-License-Identifier: Apache-2.0
// An f32 in two 16-bit halves whose high half is itself the bf16 weight the model computes with.
//
// All arithmetic is modulo 2^32, so join(split(x)) is x for every one of the 2^32 bit patterns. The high half
// is x rounded to nearest, ties away from zero. It has the class of x but for two cases: a finite |x| of at
// least 0x7F7F8000 (3.3961e38, half a bf16 step above the largest bf16) shows as Inf, just as rounding to
// nearest even would, while the master stays finite; and a NaN whose payload is not canonical may show as Inf
// or zero, which is why state is kept with canonical NaNs (adamw_scalar.h), whose high half is a NaN.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"

namespace strata {

struct SplitFloat {
  uint16_t high;
  int16_t low;
};

[[gnu::always_inline]] STRATA_HD inline SplitFloat split_float(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t high = (bits + 0x8000u) >> 16;
  // The low 16 bits of bits - (high << 16) are those of bits: in [-2^15, 2^15) the signed reading is the
  // difference.
  return {static_cast<uint16_t>(high), static_cast<int16_t>(static_cast<uint16_t>(bits))};
}

[[gnu::always_inline]] STRATA_HD inline float join_float(SplitFloat x) {
  return std::bit_cast<float>((uint32_t{x.high} << 16) + static_cast<uint32_t>(int32_t{x.low}));
}

}  // namespace strata
