// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding in place: (a, b) -> (a cos - b sin, b cos + a sin), a being element i of the
// first half of a head and b element i of the second.
//
// A thread has kWide consecutive i of one token, loads their cosines and sines once, and turns kRopeHeads
// heads with them, all loads in flight first. One read and one write of x (the tables stay in the caches):
// bound by memory. A position outside the table makes its token NaN, so that it cannot pass unnoticed: a
// kernel cannot throw.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kRopeThreads = 128;
inline constexpr int kRopeHeads = 4;  // of one thread

template <typename T>
struct RopeRows {
  Rows<T> x;
  const int32_t* positions;
  const float *cos, *sin;  // [num_positions, half]
  int64_t tokens, heads, half, num_positions;
  float direction;  // -1: turn back
  uint32_t* amax;   // of the turned x; null: not wanted
};

// Thread `index` of as many as there are vectors of halves of heads, kRopeHeads heads to a thread.
template <typename T, int kWide>
__device__ void turn_heads(const RopeRows<T>& args, int64_t index, Amax& amax) {
  const int64_t vectors = args.half / kWide;
  const int64_t head_groups = (args.heads + kRopeHeads - 1) / kRopeHeads;
  // Neighbours: vectors of a head, then heads, then tokens.
  const int64_t token = index / (vectors * head_groups);
  const int64_t in_token = index - token * vectors * head_groups;
  const int64_t head_group = in_token / vectors;
  const int64_t i = (in_token - head_group * vectors) * kWide;

  const int64_t position = args.positions[token];
  const bool known = position >= 0 && position < args.num_positions;
  float cos[kWide], sin[kWide];
#pragma unroll
  for (int e = 0; e < kWide; ++e) {
    cos[e] = known ? args.cos[position * args.half + i + e] : __int_as_float(0x7FC00000);
    sin[e] = known ? args.sin[position * args.half + i + e] * args.direction : 0.0f;
  }
  T* const row = args.x.row(token) + i;
  const auto first_of = [&](int h) { return row + (head_group + h * head_groups) * 2 * args.half; };
  const auto exists = [&](int h) { return head_group + h * head_groups < args.heads; };
  Vector<T, kWide> a[kRopeHeads], b[kRopeHeads];
#pragma unroll
  for (int h = 0; h < kRopeHeads; ++h)
    if (exists(h)) {
      a[h] = load_vector<T, kWide>(first_of(h));
      b[h] = load_vector<T, kWide>(first_of(h) + args.half);
    }
#pragma unroll
  for (int h = 0; h < kRopeHeads; ++h)
    if (exists(h)) {
      Vector<T, kWide> first, second;
#pragma unroll
      for (int e = 0; e < kWide; ++e) {
        const float a_e = to_float(a[h].at[e]), b_e = to_float(b[h].at[e]);
        first.at[e] = from_float<T>(a_e * cos[e] - b_e * sin[e]);
        second.at[e] = from_float<T>(b_e * cos[e] + a_e * sin[e]);
        amax.take(to_float(first.at[e]));
        amax.take(to_float(second.at[e]));
      }
      store_vector(first_of(h), first);
      store_vector(first_of(h) + args.half, second);
    }
}

template <typename T, int kWide>
__global__ void __launch_bounds__(kRopeThreads) rope_kernel(const RopeRows<T> args) {
  const int64_t vectors = args.half / kWide;
  const int64_t head_groups = (args.heads + kRopeHeads - 1) / kRopeHeads;
  const int64_t index = int64_t{blockIdx.x} * kRopeThreads + threadIdx.x;
  Amax amax(args.amax);
  if (index < args.tokens * vectors * head_groups) turn_heads<T, kWide>(args, index, amax);
  amax.put();
}

}  // namespace strata::cuda
