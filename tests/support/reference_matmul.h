// SPDX-License-Identifier: Apache-2.0
// A matrix product as it stands in a textbook, in double precision, with what is needed to bound the error of
// another.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/tensor/bf16.h"
#include "core/tensor/tensor.h"

namespace strata::reference {

// Element (i, j) of a matrix with any strides.
inline double element(const Tensor& x, int64_t i, int64_t j) {
  const int64_t at = i * x.stride(0) + j * x.stride(1);
  return x.dtype() == DType::bf16 ? to_float(x.data<bf16>()[at]) : x.data<float>()[at];
}

struct Product {
  int64_t m, n, k;
  std::vector<double> value;      // sum of a * b
  std::vector<double> magnitude;  // sum of |a * b|

  double at(int64_t i, int64_t j) const { return value[static_cast<size_t>(i * n + j)]; }
  double magnitude_at(int64_t i, int64_t j) const { return magnitude[static_cast<size_t>(i * n + j)]; }
};

inline Product matmul(const Tensor& a, const Tensor& b) {
  Product result{a.dim(0), b.dim(1), a.dim(1), {}, {}};
  for (int64_t i = 0; i < result.m; ++i)
    for (int64_t j = 0; j < result.n; ++j) {
      double value = 0, magnitude = 0;
      for (int64_t k = 0; k < result.k; ++k) {
        const double product = element(a, i, k) * element(b, k, j);
        value += product;
        magnitude += std::fabs(product);
      }
      result.value.push_back(value);
      result.magnitude.push_back(magnitude);
    }
  return result;
}

}  // namespace strata::reference
