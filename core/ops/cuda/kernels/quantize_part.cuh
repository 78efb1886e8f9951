// SPDX-License-Identifier: Apache-2.0
// Magnitudes and codes of a part of a matrix, a pair of neighbouring elements a thread. Maxima are the same
// in any order, so they are taken with atomics, one a warp where all its elements share a factor. Bound by
// memory.
#pragma once

#include "core/ops/cuda/kernels/quantize_tile.cuh"

namespace strata::cuda {

inline constexpr int kPartThreads = 256;

template <typename T>
struct PartSource {
  const T* x;
  int64_t count;        // a multiple of 2
  int64_t begin, real;  // in the matrix: the first element, and how many of the part's are no padding
  int64_t k, chunks;    // chunks 0: one factor for all

  __device__ int64_t factor(int64_t i) const {
    if (chunks == 0) return 0;
    const int64_t at = begin + i;
    return at / k / kTileSide * chunks + at % k / kTileSide;
  }
};

template <typename T>
__global__ void part_magnitudes_kernel(PartSource<T> part, uint32_t* amax) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x * 2;
  // Whole warps go round together.
  for (int64_t first = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 2;
       first - 2 * static_cast<int64_t>(threadIdx.x % 32) < part.real; first += step) {
    for (int64_t i = first; i < first + 2; ++i) {
      const bool here = i < part.real;
      const int64_t factor = here ? part.factor(i) : -1;
      uint32_t bits = here ? magnitude_bits(to_float(part.x[i])) : 0;
      if (bits > 0x7F800000u) bits = 0x7F800000u;
      const auto own = static_cast<uint32_t>(factor);
      const bool alike = __reduce_max_sync(0xFFFFFFFFu, own) == own && here;
      if (__all_sync(0xFFFFFFFFu, alike)) {
        const uint32_t most = warp_most_of(bits);
        if (threadIdx.x % 32 == 0) atomicMax(amax + factor, most);
      } else if (here) {
        atomicMax(amax + factor, bits);
      }
    }
  }
}

template <typename T, Fp8Format kFormat>
__global__ void quantize_part_kernel(PartSource<T> part, const float* amax, ScaleKind kind, uint8_t* codes,
                                     float* scales, int64_t factors) {
  const int64_t thread = int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
                threads = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = thread; i < factors; i += threads)
    scales[i] = scale_of(largest_finite(kFormat), amax[i], kind).factor;
  for (int64_t i = thread * 2; i < part.count; i += threads * 2) {
    Vector<float, 2> scaled{};
    for (int e = 0; e < 2; ++e)
      if (i + e < part.real)
        scaled.at[e] =
            __fmul_rn(to_float(part.x[i + e]),
                      scale_of(largest_finite(kFormat), amax[part.factor(i + e)], kind).multiplier);
    const Vector<uint8_t, 2> pair = encode_by_instruction<kFormat>(scaled);
    codes[i] = pair.at[0];
    codes[i + 1] = pair.at[1];
  }
}

}  // namespace strata::cuda
