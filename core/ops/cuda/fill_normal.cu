// SPDX-License-Identifier: Apache-2.0
// A thread draws one Philox block: four numbers. Compiled without contraction, for the bits of the CPU.
#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/rows.cuh"
#include "core/ops/normal_scalar.h"

namespace strata::cuda {
namespace {

constexpr int kThreads = 256;

// Element g of the whole is number g % 4 of block g / 4; out[i] is element first + i.
__global__ void fill_normal_kernel(float* out, int64_t count, RandomKey key, uint64_t first, float std) {
  const uint64_t block = first / 4 + uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  const PhiloxBlock words = random_block(key, block);
  const NormalPair a = normal_pair(words[0], words[1], std), b = normal_pair(words[2], words[3], std);
  const float z[4] = {a.first, a.second, b.first, b.second};
#pragma unroll
  for (uint64_t e = 0; e < 4; ++e) {
    const uint64_t element = 4 * block + e;
    if (element >= first && element - first < static_cast<uint64_t>(count)) out[element - first] = z[e];
  }
}

}  // namespace

void fill_normal(Stream& stream, const Tensor& x, const RandomKey& key, uint64_t first_index, float std) {
  if (x.numel() == 0) return;
  const uint64_t blocks = (first_index + static_cast<uint64_t>(x.numel()) + 3) / 4 - first_index / 4;
  launch(cuda_stream(stream), fill_normal_kernel,
         {dim3(narrow<unsigned>((blocks + kThreads - 1) / kThreads)), dim3(kThreads)}, x.data<float>(),
         x.numel(), key, first_index, std);
}

}  // namespace strata::cuda
