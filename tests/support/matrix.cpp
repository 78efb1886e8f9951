// SPDX-License-Identifier: Apache-2.0
#include "tests/support/matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/tensor/bf16.h"

namespace strata::reference {

Matrix to_matrix(const Tensor& x) {
  check(x.rank() == 1 || x.rank() == 2, "[to_matrix] rank {}", x.rank());
  Matrix result(x.rank() == 2 ? x.dim(0) : 1, x.dim(-1));
  for (int64_t i = 0; i < result.rows; ++i)
    for (int64_t j = 0; j < result.cols; ++j) {
      const int64_t at = (x.rank() == 2 ? i * x.stride(0) : 0) + j * x.stride(-1 + x.rank());
      switch (x.dtype()) {
        case DType::bf16:
          result(i, j) = to_float(x.data<bf16>()[at]);
          break;
        case DType::i32:
          result(i, j) = x.data<int32_t>()[at];
          break;
        case DType::f64:
          result(i, j) = x.data<double>()[at];
          break;
        case DType::f8e4m3:
        case DType::f8e5m2:
          result(i, j) = static_cast<uint8_t>(x.raw()[at]);
          break;
        default:
          result(i, j) = x.data<float>()[at];
      }
    }
  return result;
}

void expect_close(const Tensor& actual_tensor, const Matrix& expected, Tolerance tolerance,
                  const std::string& what) {
  const Matrix actual = to_matrix(actual_tensor);
  ASSERT_EQ(actual.values.size(), expected.values.size()) << what;
  double scale = tolerance.scale;
  if (scale == 0)
    for (const double e : expected.values)
      if (std::isfinite(e)) scale = std::max(scale, std::fabs(e));
  const double half_unit = actual_tensor.dtype() == DType::bf16 ? 0x1p-8 : 0x1p-24;
  double worst = 0;
  size_t where = 0;
  for (size_t i = 0; i < expected.values.size(); ++i) {
    const double a = actual.values[i], e = expected.values[i];
    const double allowed = half_unit * std::fabs(e) + tolerance.sums * 0x1p-24 * scale + 1e-37;
    const bool same = a == e || (std::isnan(a) && std::isnan(e));
    const double excess = same                                   ? 0
                          : std::isfinite(a) && std::isfinite(e) ? std::fabs(a - e) / allowed
                                                                 : INFINITY;
    if (excess > worst) {
      worst = excess;
      where = i;
    }
  }
  EXPECT_LE(worst, 1.0) << what << ": element [" << where / static_cast<size_t>(expected.cols) << ", "
                        << where % static_cast<size_t>(expected.cols) << "] is " << actual.values[where]
                        << ", the reference " << expected.values[where] << " (" << worst
                        << " of the tolerance)";
}

std::vector<double> finite_differences(const std::function<double(const std::vector<double>&)>& f,
                                       std::vector<double> x) {
  std::vector<double> gradient;
  for (double& element : x) {
    const double at = element, step = 1e-5 * std::max(1.0, std::fabs(at));
    element = at + step;
    const double above = f(x);
    element = at - step;
    const double below = f(x);
    element = at;
    gradient.push_back((above - below) / (2 * step));
  }
  return gradient;
}

}  // namespace strata::reference
