// SPDX-License-Identifier: Apache-2.0
#include "core/ops/loss_sum.h"

#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"

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
  if (stream.device().kind == DeviceKind::meta) {
    meta_stream(stream).count.bytes += nll.bytes() + targets.bytes();
    return;
  }
  cpu_stream(stream).enqueue([=] {
    const auto losses = nll.span<const float>();
    const auto ids = targets.span<const int32_t>();
    for (size_t i = 0; i < losses.size(); ++i) {
      if (ids[i] < 0) continue;
      ++sum->targets;
      if (std::isfinite(losses[i]))
        sum->nll.add(static_cast<double>(losses[i]));
      else
        ++sum->nll.non_finite;
    }
  });
}

}  // namespace strata
