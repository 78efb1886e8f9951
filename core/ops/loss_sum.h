// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// Sum of token losses.
struct LossSum {
  double nll = 0;  // nats
  int64_t targets = 0;
};

// *sum += the losses of the rows whose target is not -1, added in row order in double precision. nll f32 [rows],
// targets i32 [rows]. *sum must live until the work is done.
void sum_losses(Stream& stream, const Tensor& nll, const Tensor& targets, LossSum* sum);

}  // namespace strata
