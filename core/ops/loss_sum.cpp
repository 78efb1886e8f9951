// SPDX-License-Identifier: Apache-2.0
#include "core/ops/loss_sum.h"

#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/ops/op_table.h"

namespace strata {

void LossSum::add(const LossSum& other) {
  nll.add(other.nll);
  targets += other.targets;
}

double LossSum::value() const {
  return nll.non_finite > 0 ? std::numeric_limits<double>::quiet_NaN() : nll.value();
}

void sum_losses(Stream& stream, const Tensor& nll, const Tensor& targets, LossSum* sum) {
  check(nll.numel() == targets.numel(), "[sum_losses] {} losses, {} targets", nll.numel(), targets.numel());
  op_table(stream.device().kind).sum_losses(stream, nll, targets, sum);
}

}  // namespace strata
