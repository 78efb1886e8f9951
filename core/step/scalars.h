// SPDX-License-Identifier: Apache-2.0
// What a step adds up beside tensors: the program's `scalars` value.
#pragma once

#include <cstddef>
#include <functional>

#include "core/ops/loss_sum.h"
#include "core/ops/reduce.h"

namespace strata {

struct StepScalars {
  // Sums over ranks: 64-bit integers throughout, first in the struct.
  LossSum loss;
  BinnedSum squares;  // of the gradients

  double grad_norm = 0;   // of the whole gradient, before clipping
  float coefficient = 1;  // multiplied into the gradient by the update
  bool skip = false;      // the update leaves weights and state as they are

  static constexpr int64_t kSummedWords = (sizeof(LossSum) + sizeof(BinnedSum)) / sizeof(int64_t);
};
static_assert(offsetof(StepScalars, squares) == sizeof(LossSum) && sizeof(LossSum) % sizeof(int64_t) == 0 &&
              sizeof(BinnedSum) == (BinnedSum::kBins + 1) * sizeof(int64_t));

// Decides what a step does with its gradient, given loss and squares: fills grad_norm, coefficient and skip,
// or throws Error(numeric) to stop the run. Called on every rank with the same sums.
using ClipRule = std::function<void(StepScalars&)>;

}  // namespace strata
