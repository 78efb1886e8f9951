// SPDX-License-Identifier: Apache-2.0
// A matrix and its state as the loops of Muon see them, and what the loops do with one element: the only copy
// of the formulas of muon.h, for every device.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "optim/adamw_scalar.h"
#include "optim/canonical.h"

namespace strata {

struct MuonMomentum {
  float rate, rest;  // momentum, 1 - momentum
  float gradient_scale;
};

template <typename State>
struct MuonMatrix {
  State state;        // of the matrix, row by row
  const float* grad;  // [rows, columns]
  int64_t rows, columns;
  bool turned;  // x is the transpose: [columns, rows], so that its first extent is the smaller one

  STRATA_HD int64_t place(int64_t row, int64_t column) const {
    return turned ? column * rows + row : row * columns + column;
  }
  // Updates the momentum of element i; its direction before the matrix is made orthogonal.
  STRATA_HD float direct(int64_t i, const MuonMomentum& momentum) const {
    AdamwElement element = state.load(i);
    const float g = momentum.rest * (grad[i] * momentum.gradient_scale);
    element.moment1 = momentum.rate * element.moment1 + g;
    state.store(i, element);
    return g + momentum.rate * element.moment1;
  }
  // w <- keep w - change
  STRATA_HD void step(int64_t i, float keep, float change) const {
    AdamwElement element = state.load(i);
    element.value = canonical_nan(keep * element.value - change);
    state.store(i, element);
  }
};

}  // namespace strata
