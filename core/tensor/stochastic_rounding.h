// SPDX-License-Identifier: Apache-2.0
// Stochastic rounding of float to bf16, shared by CPU and GPU: up or down to a neighbour with the chance that
// makes the mean the number itself (Gupta et al., "Deep Learning with Limited Numerical Precision", ICML
// 2015). The chance comes from Philox: a bit pattern depends on (key, index) and nothing else, so bits do not
// change with layout, threads or device.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"
#include "core/base/philox.h"
#include "core/tensor/bf16.h"

namespace strata {

// Elements that one Philox block serves: element i takes 16 bits of block i / 8.
inline constexpr uint64_t kRoundingsPerBlock = 8;

// The 16 bits of element `index` out of its block.
STRATA_HD constexpr uint32_t rounding_bits(const PhiloxBlock& block, uint64_t index) {
  return (block[index % kRoundingsPerBlock / 2] >> (index % 2 * 16)) & 0xFFFFu;
}

// `bits` is uniform in [0, 2^16). Magnitudes are rounded up when the half that is dropped exceeds what is
// left of 2^16: with probability dropped / 2^16 exactly, subnormals too. Exact values, zeros and infinities
// stay; NaN stays NaN (quiet). A finite number beyond the largest bf16 becomes that one: infinity would have
// no mean.
STRATA_HD inline bf16 stochastic_round(float x, uint32_t bits) {
  const uint32_t pattern = std::bit_cast<uint32_t>(x), magnitude = pattern & 0x7FFFFFFFu;
  const uint32_t sign = pattern >> 16 & 0x8000u;
  if (magnitude >= 0x7F800000u)
    return magnitude == 0x7F800000u ? bf16{static_cast<uint16_t>(sign | 0x7F80u)} : to_bf16(x);
  const uint32_t rounded = (magnitude + bits) >> 16;
  return {static_cast<uint16_t>(sign | (rounded < 0x7F7Fu ? rounded : 0x7F7Fu))};
}

// Element `index` of the whole tensor that `key` names (RandomKey: the run's seed, the tensor's hashed name,
// the step). Steps count from 1: at 0 a tensor's key draws its initial values. Elements next to each other
// share a block: see above.
STRATA_HD inline bf16 stochastic_round(float x, const RandomKey& key, uint64_t index) {
  return stochastic_round(x, rounding_bits(random_block(key, index / kRoundingsPerBlock), index));
}

}  // namespace strata
