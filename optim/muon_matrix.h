// SPDX-License-Identifier: Apache-2.0
// A matrix and its state as the loops of Muon see them, on any device. What they do is in muon.h, as
// formulas.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace strata {

template <typename State>
struct MuonMatrix {
  State state;        // of the matrix, row by row
  const float* grad;  // [rows, columns]
  int64_t rows, columns;
  bool turned;  // x is the transpose: [columns, rows], so that its first extent is the smaller one

  STRATA_HD int64_t place(int64_t row, int64_t column) const {
    return turned ? column * rows + row : row * columns + column;
  }
};

struct MuonMomentum {
  float rate, rest;  // momentum, 1 - momentum
  float gradient_scale;
};

}  // namespace strata
