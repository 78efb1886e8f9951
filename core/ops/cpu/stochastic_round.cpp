// SPDX-License-Identifier: Apache-2.0
// A Philox block serves eight elements of the whole tensor; a piece that begins or ends inside one uses part
// of it.
#include <algorithm>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/parallel.h"
#include "core/tensor/stochastic_rounding.h"

namespace strata::cpu {

void stochastic_round(Stream& stream, const Tensor& from, const Tensor& to, const RandomKey& key,
                      uint64_t first_index) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, from, to, key, first_index] {
    for_pieces(cpu.pool(), from.numel(), 16384, [&](Range range) {
      const float* x = from.data<float>();
      bf16* y = to.data<bf16>();
      for (int64_t i = range.begin; i < range.end;) {
        const uint64_t element = first_index + static_cast<uint64_t>(i);
        const PhiloxBlock block = random_block(key, element / kRoundingsPerBlock);
        const int64_t left = static_cast<int64_t>(kRoundingsPerBlock - element % kRoundingsPerBlock);
        const int64_t end = std::min(range.end, i + left);
        for (uint64_t e = element; i < end; ++i, ++e)
          y[i] = strata::stochastic_round(x[i], rounding_bits(block, e));
      }
    });
  });
}

}  // namespace strata::cpu
