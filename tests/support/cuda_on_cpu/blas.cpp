// SPDX-License-Identifier: Apache-2.0
// The matrix-product library of the pretend GPU (the twin of core/ops/cuda/blas_lt.cpp): plain loops,
// products added up in double and rounded once, so that it is nobody's idea of an order.
#include "core/ops/cuda/blas.h"

#include "core/base/check.h"
#include "core/device/cuda/cuda_stream.h"
#include "core/tensor/bf16.h"
#include "tests/support/cuda_on_cpu/device_memory.h"
#include "tests/support/cuda_on_cpu/streams.h"

namespace strata::cuda {
namespace {

float element(const void* data, DType dtype, int64_t at) {
  return dtype == DType::bf16 ? to_float(static_cast<const bf16*>(data)[at])
                              : static_cast<const float*>(data)[at];
}

int64_t place(const BlasMatrix& m, int64_t i, int64_t j) {
  return m.transposed ? j * m.stride + i : i * m.stride + j;
}

void check_matrix(const char* what, const BlasMatrix& m, int64_t rows, int64_t columns) {
  check(m.rows == rows && m.columns == columns, "[blas] {} is [{}, {}], expected [{}, {}]", what, m.rows,
        m.columns, rows, columns);
  check(m.stride >= (m.transposed ? m.rows : m.columns), "[blas] {}: rows of stride {} overlap", what,
        m.stride);
}

void multiply(const BlasProduct& p, std::byte* workspace) {
  const cuda_on_cpu::DeviceMemoryAccess open;
  const int64_t m = p.a.rows, k = p.a.columns, n = p.b.columns;
  check(m > 0 && n > 0 && k > 0 && workspace != nullptr, "[blas] a product of [{}, {}] and [{}, {}]", m, k, k,
        n);
  check_matrix("a", p.a, m, k);
  check_matrix("b", p.b, k, n);
  check_matrix("out", p.out, m, n);
  if (p.add.data) check_matrix("add", p.add, m, n);
  check(!p.out.transposed && !p.add.transposed, "[blas] an output is transposed");
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l)
        sum += static_cast<double>(element(p.a.data, p.a.dtype, place(p.a, i, l))) *
               static_cast<double>(element(p.b.data, p.b.dtype, place(p.b, l, j)));
      if (p.add.data) sum += static_cast<double>(element(p.add.data, p.add.dtype, place(p.add, i, j)));
      if (p.bias) sum += static_cast<double>(element(p.bias, p.out.dtype, j));
      const auto value = static_cast<float>(sum);
      if (p.out.dtype == DType::bf16)
        static_cast<bf16*>(p.out.data)[place(p.out, i, j)] = to_bf16(value);
      else
        static_cast<float*>(p.out.data)[place(p.out, i, j)] = value;
    }
  // Working memory is anybody's between products.
  for (int64_t i = 0; i < 64; ++i) workspace[i] = std::byte{0xFF};
}

}  // namespace

void run_product(CudaStream& stream, const BlasProduct& p, std::byte* workspace) {
  cuda_on_cpu::enqueue(stream.handle(), [=] { multiply(p, workspace); });
}

}  // namespace strata::cuda
