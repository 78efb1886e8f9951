// SPDX-License-Identifier: Apache-2.0
// What a step adds up beside tensors: the program's `scalars` value.
#pragma once

#include <functional>

#include "core/ops/loss_sum.h"
#include "core/ops/reduce.h"

namespace strata {

struct StepScalars {
  LossSum loss;
  BinnedSum squares;      // of the gradients
  double grad_norm = 0;   // of the whole gradient, before clipping
  float coefficient = 1;  // multiplied into the gradient by the update
  bool skip = false;      // the update leaves weights and state as they are
};

// Decides what a step does with its gradient, given loss and squares: fills grad_norm, coefficient and skip,
// or throws Error(numeric) to stop the run.
using ClipRule = std::function<void(StepScalars&)>;

}  // namespace strata
