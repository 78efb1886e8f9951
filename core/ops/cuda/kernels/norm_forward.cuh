// SPDX-License-Identifier: Apache-2.0
// RMSNorm and LayerNorm, forward: y = (x - mean) * rstd * weight + bias.
//
// A team of threads (rows.cuh) takes one group of `width` elements, several teams a block, one group a team.
// A thread reads its kHeld vectors of 16 bytes at once and keeps them in registers for the mean, the squares
// and the result: x is read once, y written once. The weight comes from the first-level cache. Bound by
// memory. kHeld 0 serves rows that do not fit, or are not aligned (kWide 1), and reads x again from the
// cache.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

template <typename T, typename W>
struct NormForward {
  Rows<T> x, y;
  const W *weight, *bias;  // bias: LayerNorm only
  float *mean, *rstd;      // null: not kept
  int64_t count, groups;   // groups in all, and in one row
  int64_t width;
  float eps;
  uint32_t* amax;  // of y; null: not wanted
};

template <bool kCentered, typename T, typename W, int kWide, int kHeld>
__global__ void norm_forward_kernel(const NormForward<T, W> args) {
  STRATA_SHARED(float, slots, [2][32]);
  TeamSum team_sum(slots);
  const int64_t index = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  const bool present = index < args.count;
  const int64_t vectors = present ? args.width / kWide : 0;
  const int64_t row = present ? index / args.groups : 0;
  const int64_t column = present ? (index - row * args.groups) * args.width : 0;
  const T* const x = args.x.row(row) + column;
  const float inverse_width = 1.0f / static_cast<float>(args.width);

  Vector<T, kWide> held[kHeld > 0 ? kHeld : 1];
  for_vectors<kHeld>(vectors, [&](int slot, int64_t i) {
    if constexpr (kHeld > 0) held[slot] = load_vector<T, kWide>(x + i * kWide);
  });
  const auto vector = [&](int slot, int64_t i) {
    if constexpr (kHeld > 0) return held[slot];
    return load_vector<T, kWide>(x + i * kWide);
  };

  float mean = 0;
  if constexpr (kCentered) {
    float sum = 0;
    for_vectors<kHeld>(vectors, [&](int slot, int64_t i) {
      const Vector<T, kWide> v = vector(slot, i);
#pragma unroll
      for (int e = 0; e < kWide; ++e) sum += to_float(v.at[e]);
    });
    mean = team_sum(sum) * inverse_width;
  }
  float squares = 0;
  for_vectors<kHeld>(vectors, [&](int slot, int64_t i) {
    const Vector<T, kWide> v = vector(slot, i);
#pragma unroll
    for (int e = 0; e < kWide; ++e) {
      const float d = to_float(v.at[e]) - mean;
      squares += d * d;
    }
  });
  const float rstd = 1.0f / sqrtf(team_sum(squares) * inverse_width + args.eps);

  T* const y = args.y.row(row) + column;
  Amax amax(args.amax);
  for_vectors<kHeld>(vectors, [&](int slot, int64_t i) {
    const Vector<T, kWide> v = vector(slot, i);
    const auto weight = load_vector<W, kWide>(args.weight + i * kWide);
    Vector<W, kWide> bias;
    if constexpr (kCentered) bias = load_vector<W, kWide>(args.bias + i * kWide);
    Vector<T, kWide> result;
#pragma unroll
    for (int e = 0; e < kWide; ++e) {
      float d = (to_float(v.at[e]) - mean) * rstd * to_float(weight.at[e]);
      if constexpr (kCentered) d += to_float(bias.at[e]);
      result.at[e] = from_float<T>(d);
      amax.take(to_float(result.at[e]));
    }
    store_vector(y + i * kWide, result);
  });
  amax.put();
  if (present && threadIdx.x == 0) {
    if (args.rstd) args.rstd[index] = rstd;
    if (kCentered && args.mean) args.mean[index] = mean;
  }
}

}  // namespace strata::cuda
