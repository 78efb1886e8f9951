// SPDX-License-Identifier: Apache-2.0
// What products of codes need beside the library's call: factors in the order that it reads them in, codes
// and results of a size it can do. Each enqueues its work and returns.
#pragma once

#include "core/device/cuda/cuda_stream.h"
#include "core/ops/quantize.h"

namespace strata::cuda {

// Where the factor of (row, chunk of 128) lies: [(row >> row_shift) * row + chunk * chunk_stride].
struct ScaleStrides {
  int64_t row, chunk;  // 0 for what factors do not depend on
  int row_shift;
};
inline ScaleStrides scale_strides(const Quantized& x) {
  switch (x.shape) {
    case ScaleShape::tensor:
      return {0, 0, 0};
    case ScaleShape::row:
      return {x.scales.stride(0), 0, 0};
    case ScaleShape::tile:
      return {x.scales.stride(0), x.scales.stride(1), 0};
    case ScaleShape::block:
      return {x.scales.stride(0), x.scales.stride(1), 7};
  }
  return {};
}
static_assert(kScaleTile == 1 << 7);

// to[row * row_stride + chunk * chunk_stride] = the factor of row `row * rows_each` and the chunk; 1 for rows
// beyond x's (`rows` counts them).
void arrange_scales(CudaStream& stream, const Quantized& x, int64_t rows_each, int64_t rows, int64_t chunks,
                    float* to, int64_t row_stride, int64_t chunk_stride);

// to [rows, columns], without gaps, 16-byte aligned, columns a multiple of 16 = codes amid zeros.
void pad_codes(CudaStream& stream, const Tensor& codes, uint8_t* to, int64_t rows, int64_t columns);

// out = (keep ? out : 0) + product + bias + add, in this order in f32, rounded once. product: f32 with rows
// `stride` apart. bias, add: optional, f32 or bf16.
void finish_product(CudaStream& stream, const float* product, int64_t stride, const Tensor& bias,
                    const Tensor& add, bool keep, const Tensor& out);

}  // namespace strata::cuda
