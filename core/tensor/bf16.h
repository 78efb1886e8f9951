// SPDX-License-Identifier: Apache-2.0
// Conversions between float and bf16, shared by CPU and GPU.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"
#include "core/tensor/dtype.h"

namespace strata {

STRATA_HD inline float to_float(bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
STRATA_HD inline float to_float(float x) { return x; }

// Round to nearest, ties to even; NaN stays NaN (quiet).
STRATA_HD inline bf16 to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace strata
