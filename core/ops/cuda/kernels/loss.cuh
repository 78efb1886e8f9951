// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy on one chunk of logits.
//
// softmax_stats_kernel: one block a row. A thread goes through its vectors four at a time, all four loads in
// flight, with a running maximum m and the sum of exp(logit - m) (Milakov and Gimelshein, "Online normalizer
// calculation for softmax", 2018): the logits are read once. Then lanes and warps merge their pairs in a
// fixed order. cross_entropy_kernel: the grid is (pieces of columns, rows); scale * (softmax - onehot) over
// the logits in place, one read and one write; the target's own element is rounded once. Both are bound by
// memory, with one exponential an element. Padding columns are masked element by element, so a vector may
// straddle them.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kStatsThreads = 512;
inline constexpr int kStatsVectors = 4;
inline constexpr int kGradientThreads = 256;
inline constexpr int kGradientVectors = 4;

template <typename T>
struct SoftmaxRows {
  Rows<T> logits;
  const int32_t* targets;  // global ids, negative: ignored
  int64_t rows, vocab, padded;
  int64_t first_token;
  float *max, *sum, *target_logit;
};

__device__ inline float negative_infinity() { return __int_as_float(static_cast<int>(0xFF800000u)); }

// A set of logits: their maximum, and the sum of exp(logit - maximum). Empty: -inf and 0.
struct MaxSum {
  float max, sum;
};

// exp(from - to), for restating a sum against a larger maximum; nothing to restate while both are -inf.
__device__ inline float restated(float from, float to) { return from == to ? 1.0f : __expf(from - to); }

__device__ inline MaxSum merge(const MaxSum& a, const MaxSum& b) {
  const float top = fmaxf(a.max, b.max);
  return {top, a.sum * restated(a.max, top) + b.sum * restated(b.max, top)};
}

template <typename T, int kWide>
__global__ void __launch_bounds__(kStatsThreads) softmax_stats_kernel(const SoftmaxRows<T> args) {
  STRATA_SHARED(MaxSum, warps, [kStatsThreads / 32]);
  const int64_t row = blockIdx.x;
  const T* const logits = args.logits.row(row);
  const int64_t vectors = (args.vocab + kWide - 1) / kWide;  // the last may reach into the padding

  MaxSum seen{negative_infinity(), 0.0f};
  for (int64_t first = threadIdx.x; first < vectors; first += kStatsVectors * kStatsThreads) {
    Vector<T, kWide> held[kStatsVectors];
#pragma unroll
    for (int slot = 0; slot < kStatsVectors; ++slot) {
      const int64_t i = first + slot * kStatsThreads;
      if (i < vectors) held[slot] = load_vector<T, kWide>(logits + i * kWide);
    }
    float top = seen.max;
    const auto for_logits = [&](auto&& body) {
#pragma unroll
      for (int slot = 0; slot < kStatsVectors; ++slot) {
        const int64_t column = (first + slot * kStatsThreads) * kWide;
#pragma unroll
        for (int e = 0; e < kWide; ++e)
          if (column + e < args.vocab) body(to_float(held[slot].at[e]));
      }
    };
    for_logits([&](float x) { top = fmaxf(top, x); });
    float sum = seen.sum * restated(seen.max, top);
    for_logits([&](float x) { sum += __expf(x - top); });
    seen = {top, sum};
  }

  for (int offset = 16; offset > 0; offset /= 2)
    seen = merge(seen, {__shfl_xor_sync(0xFFFFFFFFu, seen.max, offset),
                        __shfl_xor_sync(0xFFFFFFFFu, seen.sum, offset)});
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = seen;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < kStatsThreads / 32; ++warp) seen = merge(seen, warps[warp]);
  const int64_t column = args.targets[row] - args.first_token;
  const bool mine = args.targets[row] >= 0 && column >= 0 && column < args.vocab;
  args.max[row] = seen.max;
  args.sum[row] = seen.sum;
  args.target_logit[row] = mine ? to_float(logits[column]) : 0.0f;
}

// sum *= exp(from - to).
__global__ void rescale_sums_kernel(const float* from, const float* to, float* sum, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) sum[i] *= __expf(from[i] - to[i]);
}

// nll = max + log(sum) - target_logit; 0 for ignored rows.
template <typename T>
__global__ void nll_kernel(const SoftmaxRows<T> args, float* nll) {
  const int64_t row = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (row >= args.rows) return;
  nll[row] = args.targets[row] < 0 ? 0.0f : args.max[row] + logf(args.sum[row]) - args.target_logit[row];
}

template <typename T, int kWide>
__global__ void __launch_bounds__(kGradientThreads)
    cross_entropy_kernel(const SoftmaxRows<T> args, const float* weight, float all_scale) {
  const int64_t vectors = args.padded / kWide;
  for (int64_t row = blockIdx.y; row < args.rows; row += gridDim.y) {
    T* const logits = args.logits.row(row);
    const bool ignored = args.targets[row] < 0;
    const int64_t target = args.targets[row] - args.first_token;
    const float scale = weight == nullptr ? all_scale : all_scale * weight[row];
    const float max = args.max[row], factor = scale / args.sum[row];
    const int64_t first = int64_t{blockIdx.x} * (kGradientThreads * kGradientVectors) + threadIdx.x;
    Vector<T, kWide> held[kGradientVectors];
#pragma unroll
    for (int slot = 0; slot < kGradientVectors; ++slot) {
      const int64_t i = first + slot * kGradientThreads;
      if (i < vectors && !ignored) held[slot] = load_vector<T, kWide>(logits + i * kWide);
    }
#pragma unroll
    for (int slot = 0; slot < kGradientVectors; ++slot) {
      const int64_t i = first + slot * kGradientThreads;
      if (i >= vectors) break;
      Vector<T, kWide> result;
#pragma unroll
      for (int e = 0; e < kWide; ++e) {
        const int64_t column = i * kWide + e;
        float gradient = 0;
        if (!ignored && column < args.vocab) {
          gradient = __expf(to_float(held[slot].at[e]) - max) * factor;
          if (column == target) gradient -= scale;
        }
        result.at[e] = from_float<T>(gradient);
      }
      store_vector(logits + i * kWide, result);
    }
  }
}

}  // namespace strata::cuda
