// SPDX-License-Identifier: Apache-2.0
// Philox words are drawn by ordinary code, so that one definition serves every device; turning them into
// normal numbers is the kernel's.
#include <algorithm>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/pointwise_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {

void fill_normal(Stream& stream, const Tensor& x, const RandomKey& key, uint64_t first_index, float std) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, x, key, first_index, std] {
    const PointwiseKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels);
    constexpr uint64_t kBatch = 32;  // numbers of one kernel call: eight Philox blocks of four
    for_pieces(cpu.pool(), x.numel(), 16384, [&](Range range) {
      float* out = x.data<float>();
      // Global element g is number g % 4 of block g / 4. Batches start at multiples of 32.
      const uint64_t begin = first_index + static_cast<uint64_t>(range.begin);
      const uint64_t end = first_index + static_cast<uint64_t>(range.end);
      for (uint64_t batch = begin / kBatch * kBatch; batch < end; batch += kBatch) {
        uint32_t words[kBatch];
        float z[kBatch];
        for (uint64_t block = 0; block < kBatch / 4; ++block) {
          const PhiloxBlock numbers = random_block(key, batch / 4 + block);
          std::copy(numbers.begin(), numbers.end(), words + 4 * block);
        }
        kernels.normal32(words, std, z);
        const uint64_t from = std::max(batch, begin), to = std::min(batch + kBatch, end);
        std::copy(z + (from - batch), z + (to - batch), out + (from - first_index));
      }
    });
  });
}

}  // namespace strata::cpu
