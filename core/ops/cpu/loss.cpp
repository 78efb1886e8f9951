// SPDX-License-Identifier: Apache-2.0
#include "core/ops/loss.h"

#include <cmath>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/loss_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {
namespace {

template <typename Args>
SoftmaxRows softmax_rows(const Args& args) {
  return {.logits = ref(args.logits),
          .targets = args.targets.template data<int32_t>(),
          .vocab = args.vocab,
          .padded = args.logits.dim(1),
          .first_token = args.first_token,
          .max = args.max.template data<float>(),
          .sum = args.sum.template data<float>(),
          .target_logit = args.target_logit.template data<float>()};
}

}  // namespace

void softmax_stats(Stream& stream, const SoftmaxStats& args) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, args, rows = softmax_rows(args)] {
    const LossKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), loss_kernels);
    for_rows(cpu.pool(), args.logits.dim(0), args.logits.dim(1) * size_of(args.logits.dtype()),
             [&](Range range) { kernels.softmax_stats(rows, range); });
  });
}

void rescale_sums(Stream& stream, const Tensor& from, const Tensor& to, const Tensor& sum) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, from, to, sum] {
    const LossKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), loss_kernels);
    for_pieces(cpu.pool(), sum.numel(), kPieceBytes / size_of(DType::f32), [&](Range range) {
      kernels.rescale_sums(from.data<float>() + range.begin, to.data<float>() + range.begin,
                           sum.data<float>() + range.begin, range.end - range.begin);
    });
  });
}

void cross_entropy(Stream& stream, const CrossEntropy& args) {
  CpuStream& cpu = cpu_stream(stream);
  const CrossEntropyRows rows{.softmax = softmax_rows(args),
                              .nll = args.nll.data<float>(),
                              .weight = args.weight ? args.weight.data<float>() : nullptr,
                              .scale = args.scale,
                              .gradient = args.gradient};
  cpu.enqueue([&cpu, args, rows] {
    const LossKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), loss_kernels);
    for_rows(cpu.pool(), args.logits.dim(0), args.logits.dim(1) * size_of(args.logits.dtype()),
             [&](Range range) { kernels.cross_entropy(rows, range); });
  });
}

void sum_losses(Stream& stream, const Tensor& nll, const Tensor& targets, LossSum* sum) {
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

}  // namespace strata::cpu
