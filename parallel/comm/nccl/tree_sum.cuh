// SPDX-License-Identifier: Apache-2.0
// The balanced tree over the members as a binary counter in registers: level l holds the join of 2^l members
// while bit l of the number of members seen is set. One read of every member's elements, one write; bound by
// memory.
#pragma once

#include "core/device/cuda/kernel.cuh"
#include "core/tensor/bf16.h"

namespace strata::cuda {

inline constexpr int kTreeThreads = 256;
inline constexpr int kTreeLevels = 16;  // fewer than 2^16 members

struct JoinSum {
  __device__ static float join(float a, float b) { return a + b; }
};
struct JoinMax {  // NaN when either is
  __device__ static float join(float a, float b) { return b > a || b != b ? b : a; }
};

__device__ inline void store_rounded(float x, float& to) { to = x; }
__device__ inline void store_rounded(float x, bf16& to) { to = to_bf16(x); }

// A thread joins kWide elements. Pointers are multiples of kWide elements' bytes; `vectors` in kWide
// elements.
template <typename T, int kWide, typename Join>
__global__ void tree_sum_kernel(int members, int rank, const T* own, const T* slots, int64_t slot, T* to,
                                int64_t vectors) {
  const int64_t at = int64_t{blockIdx.x} * kTreeThreads + threadIdx.x;
  if (at >= vectors) return;
  float levels[kTreeLevels][kWide];
  for (int member = 0; member < members; ++member) {
    const T* const from = member == rank ? own : slots + (member < rank ? member : member - 1) * slot;
    const Vector<T, kWide> in = load_vector<T, kWide>(from + at * kWide);
    float carry[kWide];
#pragma unroll
    for (int i = 0; i < kWide; ++i) carry[i] = to_float(in.at[i]);
    bool placed = false;
#pragma unroll
    for (int level = 0; level < kTreeLevels; ++level) {  // indices known to the compiler: registers
      if (placed) continue;
      placed = !(member >> level & 1);
#pragma unroll
      for (int i = 0; i < kWide; ++i) {
        if (placed)
          levels[level][i] = carry[i];
        else
          carry[i] = Join::join(levels[level][i], carry[i]);
      }
    }
  }
  float rest[kWide];
  bool begun = false;
#pragma unroll
  for (int level = 0; level < kTreeLevels; ++level) {
    if (!(members >> level & 1)) continue;
#pragma unroll
    for (int i = 0; i < kWide; ++i)
      rest[i] = begun ? Join::join(levels[level][i], rest[i]) : levels[level][i];
    begun = true;
  }
  Vector<T, kWide> out;
#pragma unroll
  for (int i = 0; i < kWide; ++i) store_rounded(rest[i], out.at[i]);
  store_vector(to + at * kWide, out);
}

}  // namespace strata::cuda
