// SPDX-License-Identifier: Apache-2.0
// What quantizing must give, from the definition in core/ops/quantize.h with the table of a format: factors
// and codes exactly. Every quotient and product is made in double precision and rounded once.
#pragma once

#include <cfloat>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "core/ops/quantize.h"
#include "tests/support/fp8_table.h"
#include "tests/support/matrix.h"

namespace strata::reference {

struct QuantizedMatrix {
  std::vector<int> codes;  // row by row; Fp8Table::kNan
  Matrix scales, multipliers;
};

// Which factor an element has, as a place in scales_shape (a vector is one row).
inline std::pair<int64_t, int64_t> place_of_scale(ScaleShape shape, int64_t row, int64_t column) {
  switch (shape) {
    case ScaleShape::tensor:
      return {0, 0};
    case ScaleShape::row:
      return {0, row};
    case ScaleShape::tile:
      return {row, column / 128};
    case ScaleShape::block:
      return {row / 128, column / 128};
  }
  return {};
}

inline QuantizedMatrix quantize(const Matrix& x, Fp8Format format, ScaleShape shape, ScaleKind kind,
                                float given = 0) {
  const Fp8Table table(format);
  const Shape wanted = scales_shape(shape, x.rows, x.cols);
  QuantizedMatrix result{{}, Matrix(wanted.rank() == 2 ? wanted[0] : 1, wanted[-1]), {}};
  result.multipliers = result.scales;
  Matrix amax = result.scales;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) {
      const auto [r, c] = place_of_scale(shape, i, j);
      const double magnitude = std::isnan(x(i, j)) ? INFINITY : std::fabs(x(i, j));
      amax(r, c) = std::max(amax(r, c), magnitude);
    }
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) {
      const auto [r, c] = place_of_scale(shape, i, j);
      double multiplier = 1;
      if (given > 0) {
        multiplier = static_cast<float>(1 / static_cast<double>(given));
      } else if (amax(r, c) > 0 && std::isfinite(amax(r, c))) {
        multiplier =
            static_cast<float>(std::min<double>(FLT_MAX, table.value(table.largest_code()) / amax(r, c)));
        if (kind == ScaleKind::pow2) multiplier = std::ldexp(1.0, std::ilogb(multiplier));
      }
      result.multipliers(r, c) = multiplier;
      result.scales(r, c) =
          given > 0 ? static_cast<double>(given) : static_cast<double>(static_cast<float>(1 / multiplier));
      result.codes.push_back(table.nearest(static_cast<double>(static_cast<float>(x(i, j) * multiplier))));
    }
  return result;
}

inline Matrix transpose(const Matrix& x) {
  Matrix result(x.cols, x.rows);
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) result(j, i) = x(i, j);
  return result;
}

}  // namespace strata::reference
