// SPDX-License-Identifier: Apache-2.0
// What matrix products need beside the library: small passes over an output [m, n] with unit stride in n and
// any row stride.
#pragma once

#include "core/device/cuda/cuda_stream.h"
#include "core/tensor/tensor.h"

namespace strata::cuda {

// out = from, of out's type; absent: zeros.
void set_rows(CudaStream& stream, const Tensor& out, const Tensor& from);
// out[i][j] += vector[j]; any float types.
void add_to_rows(CudaStream& stream, const Tensor& vector, const Tensor& out);
// out += x, of out's type.
void add_matrix(CudaStream& stream, const Tensor& x, const Tensor& out);

}  // namespace strata::cuda
