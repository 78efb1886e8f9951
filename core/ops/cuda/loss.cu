// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/kernels/loss.cuh"

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/loss.h"

namespace strata::cuda {
namespace {

template <typename T, typename Args>
SoftmaxRows<T> softmax_rows(const Args& args) {
  return {.logits = rows_of<T>(args.logits),
          .targets = args.targets.template data<int32_t>(),
          .rows = args.logits.dim(0),
          .vocab = args.vocab,
          .padded = args.logits.dim(1),
          .first_token = args.first_token,
          .max = args.max.template data<float>(),
          .sum = args.sum.template data<float>(),
          .target_logit = args.target_logit.template data<float>()};
}

Grid one_thread_each(int64_t count) {
  constexpr int kThreads = 128;
  return {dim3(narrow<unsigned>(div_up(count, kThreads))), dim3(kThreads)};
}

}  // namespace

void softmax_stats(Stream& stream, const SoftmaxStats& args) {
  if (args.logits.dim(0) == 0) return;
  with_type(args.logits.dtype(), [&]<typename T>(Type<T>) {
    // A row's last vector reaches beyond vocab, but must not reach beyond the row.
    constexpr int kWide = kVectorWidth<T>;
    const bool wide = is_aligned(args.logits) && round_up(args.vocab, kWide) <= args.logits.dim(1);
    const Grid grid{dim3(narrow<unsigned>(args.logits.dim(0))), dim3(kStatsThreads)};
    launch(cuda_stream(stream), wide ? softmax_stats_kernel<T, kWide> : softmax_stats_kernel<T, 1>, grid,
           softmax_rows<T>(args));
  });
}

void rescale_sums(Stream& stream, const Tensor& from, const Tensor& to, const Tensor& sum) {
  if (sum.numel() == 0) return;
  launch(cuda_stream(stream), rescale_sums_kernel, one_thread_each(sum.numel()), from.data<float>(),
         to.data<float>(), sum.data<float>(), sum.numel());
}

void cross_entropy(Stream& stream, const CrossEntropy& args) {
  const int64_t rows = args.logits.dim(0), padded = args.logits.dim(1);
  if (rows == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  with_type(args.logits.dtype(), [&]<typename T>(Type<T>) {
    launch(cuda, nll_kernel<T>, one_thread_each(rows), softmax_rows<T>(args), args.nll.data<float>());
    if (!args.gradient || padded == 0) return;
    constexpr int kWide = kVectorWidth<T>;
    const bool wide = is_aligned(args.logits) && padded % kWide == 0;
    const int64_t vectors = wide ? padded / kWide : padded;
    const Grid grid{dim3(narrow<unsigned>(div_up(vectors, kGradientThreads * kGradientVectors)),
                         static_cast<unsigned>(std::min<int64_t>(rows, 65535))),
                    dim3(kGradientThreads)};
    launch(cuda, wide ? cross_entropy_kernel<T, kWide> : cross_entropy_kernel<T, 1>, grid,
           softmax_rows<T>(args), args.weight ? args.weight.data<float>() : nullptr, args.scale);
  });
}

}  // namespace strata::cuda
