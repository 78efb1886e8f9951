// SPDX-License-Identifier: Apache-2.0
// Tiles of 128 x 128 elements on their way into 8-bit codes and back. A tile lies in f32 with a row stride of
// 128. Magnitudes are compared as bit patterns without the sign: NaN above infinity above all others.
#pragma once

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/ops/cpu/kernels/matrix_ref.h"
#include "core/tensor/bf16.h"

namespace strata::cpu {

inline constexpr int kCodeTile = 128;

struct CodeTile {
  const float* values;
  int rows, columns;
};

// The functions of one format.
struct CodeKernels {
  // codes[r * stride + c] = code of value * multipliers[r].
  void (*encode_rows)(const CodeTile&, const float* multipliers, uint8_t* codes, int64_t stride);
  // codes[c * stride + r] = code of value * multipliers[c].
  void (*encode_columns)(const CodeTile&, const float* multipliers, uint8_t* codes, int64_t stride);
  void (*decode)(const uint8_t* codes, int64_t count, bf16* values);  // exact
};

struct QuantizeKernels {
  void (*load)(MatrixRef x, int rows, int columns, float* values);
  // amax[r], amax[c] = the larger of itself and the row's, the column's largest magnitude.
  void (*row_amax)(const CodeTile&, uint32_t* amax);
  void (*column_amax)(const CodeTile&, uint32_t* amax);
  CodeKernels e4m3, e5m2;
};
STRATA_DECLARE_PER_ISA(const QuantizeKernels quantize_kernels);

}  // namespace strata::cpu
