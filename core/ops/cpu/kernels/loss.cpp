// SPDX-License-Identifier: Apache-2.0
// A row of logits is read twice for its statistics (the second time from cache) and once for its gradient.
#include "core/ops/cpu/kernels/loss_kernels.h"

#include "core/ops/cpu/vec_math.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

void softmax_stats(const SoftmaxRows& args, Range rows) {
  with_type(args.logits.dtype, [&]<typename T>(Type<T>) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const T* logits = args.logits.row<T>(r);
      Vec highest = broadcast(-__builtin_inff());
      for_lanes(args.vocab, [&](int64_t i, auto lanes) {
        highest = max(highest, keep(load(logits + i, lanes), lanes, -__builtin_inff()));
      });
      const float row_max = max_lane(highest);
      const Vec row_max_v = broadcast(row_max);
      Vec total = zero();
      for_lanes(args.vocab, [&](int64_t i, auto lanes) {
        total += keep(exp(load(logits + i, lanes) - row_max_v), lanes, 0.0f);
      });
      const int64_t column = args.targets[r] - args.first_token;
      const bool mine = args.targets[r] >= 0 && column >= 0 && column < args.vocab;
      args.max[r] = row_max;
      args.sum[r] = sum(total);
      args.target_logit[r] = mine ? load(logits + column, Partial{1}).part[0][0] : 0.0f;
    }
  });
}

void rescale_sums(const float* from, const float* to, float* sum, int64_t count) {
  for_lanes(count, [&](int64_t i, auto lanes) {
    store(sum + i, load(sum + i, lanes) * exp(load(from + i, lanes) - load(to + i, lanes)), lanes);
  });
}

STRATA_ALWAYS_INLINE float log(float x) { return log(broadcast(x)).part[0][0]; }

void cross_entropy(const CrossEntropyRows& args, Range rows) {
  const SoftmaxRows& softmax = args.softmax;
  with_type(softmax.logits.dtype, [&]<typename T>(Type<T>) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const bool ignored = softmax.targets[r] < 0;
      args.nll[r] = ignored ? 0.0f : softmax.max[r] + log(softmax.sum[r]) - softmax.target_logit[r];
      if (!args.gradient) continue;
      T* logits = softmax.logits.row<T>(r);
      if (ignored) {
        for_lanes(softmax.padded, [&](int64_t i, auto lanes) { store(logits + i, zero(), lanes); });
        continue;
      }
      const Vec row_max = broadcast(softmax.max[r]);
      const float scale = args.weight ? args.scale * args.weight[r] : args.scale;
      const Vec factor = broadcast(scale / softmax.sum[r]);
      // The target's own element before the row is overwritten: rounding scale * (p - 1) once, not twice.
      const int64_t column = softmax.targets[r] - softmax.first_token;
      const bool mine = column >= 0 && column < softmax.vocab;
      Vec target = zero();
      if (mine) target = exp(load(logits + column, Partial{1}) - row_max) * factor - broadcast(scale);
      for_lanes(softmax.vocab, [&](int64_t i, auto lanes) {
        store(logits + i, exp(load(logits + i, lanes) - row_max) * factor, lanes);
      });
      if (mine) store(logits + column, target, Partial{1});
      T* padding = logits + softmax.vocab;
      for_lanes(softmax.padded - softmax.vocab,
                [&](int64_t i, auto lanes) { store(padding + i, zero(), lanes); });
    }
  });
}

}  // namespace

const LossKernels loss_kernels{
    .softmax_stats = softmax_stats, .rescale_sums = rescale_sums, .cross_entropy = cross_entropy};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
