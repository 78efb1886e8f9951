// SPDX-License-Identifier: Apache-2.0
// Clipping by the global gradient norm (Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent
// neural networks", ICML 2013), with the arithmetic of torch.nn.utils.clip_grad_norm_. The sum of squares
// comes from an order-independent accumulator (core/ops/reduce.h): the coefficient is the same on every
// layout.
#pragma once

#include "core/ops/reduce.h"

namespace strata {

struct Clip {
  double norm = 0;  // of the gradients as the update sees them before clipping; NaN if one is not finite
  float gradient_scale = 1;  // for UpdateScalars::gradient_scale; 0 if a gradient is not finite
  bool finite = true;        // false: the update must not run (0 times Inf is NaN)
};

// `squares` over the gradients as stored; `stored_scale` turns a stored gradient into the real one (1 /
// tokens of the step when sums over tokens are stored). max_norm 0 is no clipping. The scale is stored_scale
// * min(1, max_norm / (norm + 1e-6)), made in double and rounded once.
Clip clip_by_norm(const BinnedSum& squares, double max_norm, double stored_scale = 1);

}  // namespace strata
