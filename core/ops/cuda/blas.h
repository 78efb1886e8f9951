// SPDX-License-Identifier: Apache-2.0
// The seam to the matrix-product library: one product, described so that the library can do it in one call.
// matmul.cpp makes descriptions, blas_lt.cpp runs them with cuBLASLt.
#pragma once

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

// out = a . b + beta * add + bias, f32 accumulation over the whole of k, a fixed order: the same bits every
// time.
struct BlasProduct {
  BlasMatrix a;                // [m, k], f32 or bf16
  BlasMatrix b;                // [k, n], dtype of a
  BlasMatrix out;              // [m, n], not transposed; f32, or the dtype of a
  BlasMatrix add;              // [m, n], dtype of out, not transposed; may be `out` itself; data null: none
  const void* bias = nullptr;  // [n], dtype of out; null: none
};

// Bytes of working memory that any product may take.
inline constexpr int64_t kBlasWorkspace = int64_t{32} << 20;
inline constexpr int64_t kBlasAlignment = 256;  // of its address (cuBLAS library, "cublasLtMatmul()")

// m, n and k are positive. `workspace`: kBlasWorkspace bytes of the device on kBlasAlignment, free until the
// work is done. Throws Error(environment) when the library has no way to do it.
void run_product(CudaStream& stream, const BlasProduct& product, std::byte* workspace);

}  // namespace strata::cuda
