// SPDX-License-Identifier: Apache-2.0
// Factors of any shape by row and chunk of 128, and codes back to values: a thread an element.
#pragma once

#include "core/format/fp8.h"
#include "core/ops/cuda/kernels/rows.cuh"
#include "core/ops/quantize.h"

namespace strata::cuda {

inline constexpr int kDequantizeThreads = 256;

struct Scales {
  const float* data;
  int64_t row, chunk;  // strides; 0 for what factors do not depend on
  int row_shift;       // rows that share a factor: 1 << row_shift

  __device__ float operator()(int64_t of_row, int64_t of_chunk) const {
    return data[(of_row >> row_shift) * row + of_chunk * chunk];
  }
};

template <typename T>
__global__ void dequantize_kernel(Rows<const uint8_t> codes, Scales scales, Fp8Format format, Rows<T> out,
                                  int64_t rows, int64_t columns) {
  const int64_t column = int64_t{blockIdx.x} * kDequantizeThreads + threadIdx.x;
  if (column >= columns) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y)
    out.row(row)[column] =
        from_float<T>(__fmul_rn(decode(format, codes.row(row)[column]), scales(row, column / kScaleTile)));
}

}  // namespace strata::cuda
