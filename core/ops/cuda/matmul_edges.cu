// SPDX-License-Identifier: Apache-2.0
// Rare passes, for correctness alone: a thread an element.
#include "core/ops/cuda/matmul_edges.h"

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {
namespace {

constexpr int kThreads = 256;

// x.stride 0 and one row: a vector for all rows. `keep`: out is added to.
template <typename X, typename T>
__global__ void add_rows_kernel(Rows<const X> x, Rows<T> out, int64_t rows, int64_t columns, bool keep) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= columns) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const float old = keep ? to_float(out.row(row)[column]) : 0.0f;
    const float added = x.data ? to_float(x.row(row)[column]) : 0.0f;
    out.row(row)[column] = from_float<T>(old + added);
  }
}

template <typename X>
void run(CudaStream& stream, Rows<const X> x, const Tensor& out, bool keep) {
  const int64_t rows = out.dim(0), columns = out.dim(1);
  if (out.numel() == 0) return;
  with_type(out.dtype(), [&]<typename T>(Type<T>) {
    launch(
        stream, add_rows_kernel<X, T>,
        {dim3(narrow<unsigned>(div_up(columns, kThreads)), narrow<unsigned>(std::min<int64_t>(rows, 65535))),
         dim3(kThreads)},
        x, rows_of<T>(out), rows, columns, keep);
  });
}

}  // namespace

void set_rows(CudaStream& stream, const Tensor& out, const Tensor& from) {
  if (from && from.raw() == out.raw()) return;
  with_type(out.dtype(), [&]<typename T>(Type<T>) { run<T>(stream, rows_of<const T>(from), out, false); });
}

void add_to_rows(CudaStream& stream, const Tensor& vector, const Tensor& out) {
  with_type(vector.dtype(), [&]<typename X>(Type<X>) {
    run<X>(stream, {vector.data<const X>(), 0}, out, true);
  });
}

void add_matrix(CudaStream& stream, const Tensor& x, const Tensor& out) {
  with_type(x.dtype(), [&]<typename X>(Type<X>) { run<X>(stream, rows_of<const X>(x), out, true); });
}

}  // namespace strata::cuda
