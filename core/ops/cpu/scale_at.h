// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/ops/quantize.h"

namespace strata::cpu {

// The factor of (row, chunk of 128 elements of it).
inline float scale_at(const Quantized& x, int64_t row, int64_t chunk) {
  const float* const scales = x.scales.data<float>();
  switch (x.shape) {
    case ScaleShape::tensor:
      return scales[0];
    case ScaleShape::row:
      return scales[row * x.scales.stride(0)];
    case ScaleShape::tile:
      return scales[row * x.scales.stride(0) + chunk * x.scales.stride(1)];
    case ScaleShape::block:
      return scales[row / kScaleTile * x.scales.stride(0) + chunk * x.scales.stride(1)];
  }
  return 1;
}

}  // namespace strata::cpu
