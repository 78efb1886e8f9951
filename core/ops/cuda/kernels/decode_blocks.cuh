// SPDX-License-Identifier: Apache-2.0
// out = code value * factor of the block. A warp takes a block of 64 elements: lane l its elements 2 l and 2
// l + 1, so that the codes of a block are read in one access of a warp and its results written in one. Bound
// by memory.
#pragma once

#include <cstring>

#include "core/device/cuda/kernel.cuh"
#include "core/format/int8_blocks.h"
#include "core/format/nf4.h"
#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kDecodeThreads = 256, kDecodeLanes = 32;  // of one block of elements

struct Nf4Blocks {
  static constexpr int kBytes = 4 + nf4::kCodeBytes;
  static __device__ float value(const uint8_t* codes, int i, float factor) {
    return nf4::decode(codes, i, factor);
  }
};
struct Int8Blocks {
  static constexpr int kBytes = 4 + int8_blocks::kCodeBytes;
  static __device__ float value(const uint8_t* codes, int i, float factor) {
    return int8_blocks::decode(codes, i, factor);
  }
};

template <typename Format, typename Out>
__global__ void decode_blocks_kernel(const uint8_t* blocks, Out* out, int64_t count) {
  const int lane = static_cast<int>(threadIdx.x) % kDecodeLanes;
  const int64_t step = int64_t{gridDim.x} * (kDecodeThreads / kDecodeLanes);
  for (int64_t b = int64_t{blockIdx.x} * (kDecodeThreads / kDecodeLanes) + threadIdx.x / kDecodeLanes;
       b < count; b += step) {
    const uint8_t* const block = blocks + b * Format::kBytes;
    float factor;  // blocks lie on any byte
    memcpy(&factor, block, sizeof(factor));
    for (int e = 0; e < 2; ++e) {
      const int i = 2 * lane + e;
      out[b * 64 + i] = from_float<Out>(Format::value(block + 4, i, factor));
    }
  }
}

}  // namespace strata::cuda
