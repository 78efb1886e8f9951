// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/device/stream.h"
#include "core/ops/reduce.h"
#include "core/tensor/tensor.h"

namespace strata {

// Sum of token losses, exact: its bits do not depend on the order of the tokens, nor on how they were split
// over micro-batches or ranks. (A loss may be a tiny negative number by rounding: the sum is signed.)
struct LossSum {
  BinnedSum nll;  // nats; NaN and Inf are counted apart, see BinnedSum
  int64_t targets = 0;

  void add(const LossSum& other);
  double value() const;  // nats, rounded once; NaN when a loss was NaN or infinite
  double mean() const { return value() / static_cast<double>(targets); }  // nats per target; NaN without any
};

// *sum += the losses of the rows whose target is not -1. nll f32 [rows], targets i32 [rows]. *sum must live
// until the work is done.
void sum_losses(Stream& stream, const Tensor& nll, const Tensor& targets, LossSum* sum);

}  // namespace strata
