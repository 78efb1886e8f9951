// SPDX-License-Identifier: Apache-2.0
// The seam to the matrix-product library: one product, described so that the library can do it in one call.
// matmul.cpp makes descriptions, blas_lt.cpp runs them with cuBLASLt.
#pragma once

#include <bit>
#include <cstdint>

#include "core/device/cuda/cuda_stream.h"
#include "core/tensor/dtype.h"

namespace strata::cuda {

// A row-major matrix, or the transpose of one: element (i, j) is at [i * stride + j], transposed at [j *
// stride + i].
struct BlasMatrix {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0;  // as the product sees them
  int64_t stride = 0;             // elements; at least what lies next to each other
  bool transposed = false;
};

// Factors of an operand of 8-bit floats, on 16 bytes; each row of the operand as quantize.h sees it, [m, k]
// or [n, k]: one factor; one a row; [ceil(k / 128)] x [rows] with unit stride in rows; [ceil(rows / 128)] x
// [ceil(k / 128)] with unit stride in k and rows of factors a multiple of 4 apart.
enum class BlasScaleMode : uint8_t { none, tensor, row, tile, block };
struct BlasScales {
  const float* data = nullptr;
  BlasScaleMode mode = BlasScaleMode::none;
};

// out = a . b + beta * add + bias, f32 accumulation over the whole of k, a fixed order: the same bits every
// time.
struct BlasProduct {
  BlasMatrix a;                // [m, k], f32, bf16 or 8-bit floats, then not transposed
  BlasMatrix b;                // [k, n], dtype of a, or the other 8-bit float (transposed then)
  BlasMatrix out;              // [m, n], not transposed; f32, or the dtype of a, or bf16 for 8-bit floats
  BlasMatrix add;              // [m, n], dtype of out, not transposed; may be `out` itself; data null: none
  const void* bias = nullptr;  // [n], dtype of out; null: none
  BlasScales a_scales,
      b_scales;  // of 8-bit floats: both or none; pairs: the same mode, or a tile with b block
};

// Bytes of working memory that any product may take.
inline constexpr int64_t kBlasWorkspace = int64_t{32} << 20;
inline constexpr int64_t kBlasAlignment = 256;  // of its address (cuBLAS library, "cublasLtMatmul()")

// Working memory begins on kTensorAlignment only: with what it takes to begin where the library wants it.
inline constexpr int64_t kBlasScratch = kBlasWorkspace + kBlasAlignment - kTensorAlignment;
inline std::byte* aligned_workspace(Scratch& scratch) {
  std::byte* const memory = scratch.take(kBlasScratch);
  const auto address = std::bit_cast<uintptr_t>(memory);
  return memory + (kBlasAlignment - address % kBlasAlignment) % kBlasAlignment;
}

// m, n and k are positive; multiples of 16 for 8-bit floats, whose addresses and strides are on 16 bytes.
// `workspace`: kBlasWorkspace bytes of the device on kBlasAlignment, free until the work is done. Throws
// Error(environment) when the library has no way to do it.
void run_product(CudaStream& stream, const BlasProduct& product, std::byte* workspace);

}  // namespace strata::cuda
