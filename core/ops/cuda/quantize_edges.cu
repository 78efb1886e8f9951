// SPDX-License-Identifier: Apache-2.0
// Small passes: factors are a hundredth of what a product reads; codes are padded only where shapes are odd.
#include "core/ops/cuda/quantize_edges.h"

#include <algorithm>

#include "core/ops/cuda/kernels/dequantize.cuh"

namespace strata::cuda {
namespace {

constexpr int kThreads = 256, kUnit = 16;

Grid grid_of(int64_t threads) {
  constexpr int64_t kMostBlocks = 1 << 16;
  return {dim3(narrow<unsigned>(std::min(div_up(threads, int64_t{kThreads}), kMostBlocks))), dim3(kThreads)};
}

__global__ void arrange_scales_kernel(Scales scales, int64_t rows_each, int64_t rows_there, int64_t rows,
                                      int64_t chunks, float* to, int64_t row_stride, int64_t chunk_stride) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < rows * chunks; i += step) {
    // Neighbouring threads write neighbouring places.
    const bool rows_first = row_stride == 1;
    const int64_t row = rows_first ? i % rows : i / chunks, chunk = rows_first ? i / rows : i % chunks;
    to[row * row_stride + chunk * chunk_stride] =
        row * rows_each < rows_there ? scales(row * rows_each, chunk) : 1.0f;
  }
}

__global__ void pad_codes_kernel(Rows<const uint8_t> codes, int64_t rows_there, int64_t columns_there,
                                 uint8_t* to, int64_t rows, int64_t columns) {
  const int64_t units = columns / kUnit, step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < rows * units; i += step) {
    const int64_t row = i / units, column = i % units * kUnit;
    Vector<uint8_t, kUnit> unit{};
    if (row < rows_there)
      for (int e = 0; e < kUnit && column + e < columns_there; ++e) unit.at[e] = codes.row(row)[column + e];
    store_vector(to + row * columns + column, unit);
  }
}

template <typename B, typename T>
__global__ void finish_product_kernel(Rows<const float> product, const B* bias, Rows<const T> add, bool keep,
                                      Rows<T> out, int64_t rows, int64_t columns) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= columns) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float sum = product.row(row)[column];
    if (bias != nullptr) sum += to_float(bias[column]);
    if (add) sum += to_float(add.row(row)[column]);
    if (keep) sum += to_float(out.row(row)[column]);
    out.row(row)[column] = from_float<T>(sum);
  }
}

}  // namespace

void arrange_scales(CudaStream& stream, const Quantized& x, int64_t rows_each, int64_t rows, int64_t chunks,
                    float* to, int64_t row_stride, int64_t chunk_stride) {
  const ScaleStrides strides = scale_strides(x);
  const Scales scales{x.scales.data<const float>(), strides.row, strides.chunk, strides.row_shift};
  // A packed operand may come without codes; a GPU's never does.
  launch(stream, arrange_scales_kernel, grid_of(rows * chunks), scales, rows_each, x.codes.dim(0), rows,
         chunks, to, row_stride, chunk_stride);
}

void pad_codes(CudaStream& stream, const Tensor& codes, uint8_t* to, int64_t rows, int64_t columns) {
  launch(stream, pad_codes_kernel, grid_of(rows * (columns / kUnit)),
         Rows<const uint8_t>{reinterpret_cast<const uint8_t*>(codes.raw()), codes.stride(0)}, codes.dim(0),
         codes.dim(1), to, rows, columns);
}

void finish_product(CudaStream& stream, const float* product, int64_t stride, const Tensor& bias,
                    const Tensor& add, bool keep, const Tensor& out) {
  constexpr int64_t kMostRows = 65535;
  const Grid grid{dim3(narrow<unsigned>(div_up(out.dim(1), int64_t{kThreads})),
                       narrow<unsigned>(std::min(out.dim(0), kMostRows))),
                  dim3(kThreads)};
  with_type(bias ? bias.dtype() : DType::f32, [&]<typename B>(Type<B>) {
    with_type(out.dtype(), [&]<typename T>(Type<T>) {
      launch(stream, finish_product_kernel<B, T>, grid, Rows<const float>{product, stride},
             bias ? bias.data<const B>() : nullptr, rows_of<const T>(add), keep, rows_of<T>(out), out.dim(0),
             out.dim(1));
    });
  });
}

}  // namespace strata::cuda
