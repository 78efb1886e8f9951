// SPDX-License-Identifier: Apache-2.0
// NaN has many encodings, and processors differ in the one an operation returns. State keeps a single one, so
// that paths agree to the bit even when training has gone wrong, and so that rounding needs no case for NaN.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"
#include "core/tensor/dtype.h"

namespace strata {

[[gnu::always_inline]] STRATA_HD inline float canonical_nan(float x) {
  return x == x ? x : std::bit_cast<float>(0x7FC00000u);
}

// x rounded to nearest, ties to even: the bits of to_bf16(x) for every x whose NaN is the canonical one.
[[gnu::always_inline]] STRATA_HD inline uint16_t bf16_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// x rounded stochastically by 16 random bits: the bits of stochastic_round(x, random)
// (core/tensor/stochastic_rounding.h) for every x whose NaN is the canonical one, without a branch.
[[gnu::always_inline]] STRATA_HD inline uint16_t stochastic_bf16_bits(float x, uint32_t random) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), magnitude = bits & 0x7FFFFFFFu;
  const uint32_t up = (magnitude + random) >> 16, finite = up < 0x7F7Fu ? up : 0x7F7Fu;
  const uint32_t rounded = magnitude < 0x7F800000u ? finite : magnitude >> 16;
  return static_cast<uint16_t>(rounded | (bits >> 16 & 0x8000u));
}

[[gnu::always_inline]] STRATA_HD inline float bf16_value(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

}  // namespace strata
