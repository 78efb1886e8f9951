// SPDX-License-Identifier: Apache-2.0
// Attention over two disjoint sets of keys from attention over each: a warp takes one token and head. One
// read of both outputs and one write; bound by memory.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kMergeThreads = 128;

template <int kWide>
__global__ void attention_merge_kernel(float* out, float* lse, const float* part, const float* part_lse,
                                       int64_t tokens, int64_t heads, int64_t head_dim) {
  constexpr float kInf = __builtin_inff();
  const int64_t warp = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  const int64_t token = warp / heads, head = warp - token * heads;
  if (token >= tokens) return;
  const int64_t at = head * tokens + token;
  const float here = lse[at], there = part_lse[at], top = fmaxf(here, there);
  if (top == -kInf) return;  // neither set has a key this query sees
  const float a = __expf(here - top), b = __expf(there - top), total = a + b;
  const int64_t begin = (token * heads + head) * head_dim;
  for (int64_t c = threadIdx.x % 32 * kWide; c < head_dim; c += 32 * kWide) {
    auto mine = load_vector<float, kWide>(out + begin + c);
    const auto other = load_vector<float, kWide>(part + begin + c);
#pragma unroll
    for (int e = 0; e < kWide; ++e) mine.at[e] = mine.at[e] * (a / total) + other.at[e] * (b / total);
    store_vector(out + begin + c, mine);
  }
  __syncwarp();  // every lane has read lse
  if (threadIdx.x % 32 == 0) lse[at] = top + logf(total);
}

}  // namespace strata::cuda
