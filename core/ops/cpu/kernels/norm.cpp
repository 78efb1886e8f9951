// SPDX-License-Identifier: Apache-2.0
// One group of `width` elements at a time, two or three passes over it while it is in the first-level cache.
#include "core/ops/cpu/kernels/norm_kernels.h"

#include "core/ops/cpu/vec.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

// sum over i of term(i, lanes) in sixteen running lanes.
template <typename Term>
STRATA_ALWAYS_INLINE float lane_sum(int64_t count, Term&& term) {
  Vec total = zero();
  for_lanes(count, [&](int64_t i, auto lanes) { total += term(i, lanes); });
  return sum(total);
}

template <bool kCentered, typename T, typename W>
void forward_rows(const NormForwardRows& args, Range rows) {
  const float inverse_width = 1.0f / static_cast<float>(args.width);
  const W* weight = args.weight.row<W>(0);
  const W* bias = args.bias.row<W>(0);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t g = 0; g < args.groups; ++g) {
      const T* x = args.x.row<T>(r) + g * args.width;
      T* y = args.y.row<T>(r) + g * args.width;
      float mean = 0;
      if constexpr (kCentered)
        mean =
            lane_sum(args.width, [&](int64_t i, auto lanes) { return load(x + i, lanes); }) * inverse_width;
      const Vec mean_v = broadcast(mean);
      const float square_sum = lane_sum(args.width, [&](int64_t i, auto lanes) {
        Vec d = load(x + i, lanes);
        if constexpr (kCentered) d = keep(d - mean_v, lanes, 0.0f);
        return d * d;
      });
      const float rstd = 1.0f / __builtin_sqrtf(square_sum * inverse_width + args.eps);
      const Vec rstd_v = broadcast(rstd);
      for_lanes(args.width, [&](int64_t i, auto lanes) {
        Vec d = load(x + i, lanes);
        if constexpr (kCentered) d = d - mean_v;
        d = d * rstd_v * load(weight + i, lanes);
        if constexpr (kCentered) d = d + load(bias + i, lanes);
        store(y + i, d, lanes);
      });
      const int64_t at = r * args.groups + g;
      if (args.rstd) args.rstd[at] = rstd;
      if (kCentered && args.mean) args.mean[at] = mean;
    }
  }
}

// With h = (x - mean) * rstd and g = dy * weight: dx = rstd * (g - h * mean(g * h) [- mean(g)]).
template <bool kCentered, typename T, typename W>
void backward_rows(const NormBackwardRows& args, Range rows, float* dweight, float* dbias) {
  const float inverse_width = 1.0f / static_cast<float>(args.width);
  const W* weight = args.weight.row<W>(0);
  if (dweight) __builtin_memset(dweight, 0, static_cast<size_t>(args.width) * sizeof(float));
  if (dbias) __builtin_memset(dbias, 0, static_cast<size_t>(args.width) * sizeof(float));
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t group = 0; group < args.groups; ++group) {
      const int64_t column = group * args.width;
      const T* x = args.x.row<T>(r) + column;
      const T* dy = args.dy.row<T>(r) + column;
      const T* add = args.add.data ? args.add.row<T>(r) + column : nullptr;
      T* dx = args.dx.row<T>(r) + column;
      const int64_t at = r * args.groups + group;
      const Vec rstd = broadcast(args.rstd[at]);
      const Vec mean = broadcast(kCentered ? args.mean[at] : 0.0f);
      const auto normalised = [&](int64_t i, auto lanes) {
        Vec d = load(x + i, lanes);
        if constexpr (kCentered) d = d - mean;
        return d * rstd;
      };
      Vec g_total = zero(), gh_total = zero();
      for_lanes(args.width, [&](int64_t i, auto lanes) {
        const Vec g = load(dy + i, lanes) * load(weight + i, lanes);  // 0 beyond the last lane
        gh_total += g * normalised(i, lanes);
        if constexpr (kCentered) g_total += g;
      });
      const Vec gh_mean = broadcast(sum(gh_total) * inverse_width);
      const Vec g_mean = broadcast(kCentered ? sum(g_total) * inverse_width : 0.0f);
      for_lanes(args.width, [&](int64_t i, auto lanes) {
        const Vec dy_i = load(dy + i, lanes);
        const Vec h = normalised(i, lanes);
        Vec d = dy_i * load(weight + i, lanes) - h * gh_mean;
        if constexpr (kCentered) d = d - g_mean;
        d = d * rstd;
        if (add) d = load(add + i, lanes) + d;
        if (dweight) store(dweight + i, load(dweight + i, lanes) + dy_i * h, lanes);
        if (dbias) store(dbias + i, load(dbias + i, lanes) + dy_i, lanes);
        store(dx + i, d, lanes);
      });
    }
  }
}

template <bool kCentered>
void forward(const NormForwardRows& args, Range rows) {
  with_type(args.x.dtype, [&]<typename T>(Type<T>) {
    with_type(args.weight.dtype, [&]<typename W>(Type<W>) { forward_rows<kCentered, T, W>(args, rows); });
  });
}

template <bool kCentered>
void backward(const NormBackwardRows& args, Range rows, float* dweight, float* dbias) {
  with_type(args.x.dtype, [&]<typename T>(Type<T>) {
    with_type(args.weight.dtype,
              [&]<typename W>(Type<W>) { backward_rows<kCentered, T, W>(args, rows, dweight, dbias); });
  });
}

void rms_backward(const NormBackwardRows& args, Range rows, float* dweight) {
  backward<false>(args, rows, dweight, nullptr);
}

}  // namespace

const NormKernels norm_kernels{.rms_forward = forward<false>,
                               .layer_forward = forward<true>,
                               .rms_backward = rms_backward,
                               .layer_backward = backward<true>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
