// SPDX-License-Identifier: Apache-2.0
// A matrix of doubles: what references compute with, and how tensors are compared with them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace strata::reference {

struct Matrix {
  int64_t rows = 0, cols = 0;
  std::vector<double> values;

  Matrix() = default;
  Matrix(int64_t rows, int64_t cols) : rows(rows), cols(cols), values(static_cast<size_t>(rows * cols)) {}
  double& operator()(int64_t i, int64_t j) { return values[static_cast<size_t>(i * cols + j)]; }
  double operator()(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * cols + j)]; }
};

// The elements of a float, bf16, f64 or i32 tensor of rank 1 (as one row) or 2, with any strides; of 8-bit
// floats the codes' numbers.
Matrix to_matrix(const Tensor& x);

// How far an element may be from its reference: half a unit in the last place of the tensor's type, for the
// rounding of the result, plus `sums` roundings of f32 (2^-24) relative to `scale`, the size of the terms
// that were added up.
struct Tolerance {
  double sums = 8;
  double scale = 0;  // 0: the largest magnitude in the reference
};
void expect_close(const Tensor& actual, const Matrix& expected, Tolerance tolerance, const std::string& what);

// d f / d x[i] for every i, by central differences; good to about 1e-8 of the size of f's terms.
std::vector<double> finite_differences(const std::function<double(const std::vector<double>&)>& f,
                                       std::vector<double> x);

}  // namespace strata::reference
