// SPDX-License-Identifier: Apache-2.0
#include "core/ops/loss_sum.h"

#include "core/base/check.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"

namespace strata {

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
      sum->nll += losses[i];
      ++sum->targets;
    }
  });
}

}  // namespace strata
