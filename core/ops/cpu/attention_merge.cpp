// SPDX-License-Identifier: Apache-2.0
// One pass over memory, and one exponential for head_dim elements: ordinary code is as fast as any.
#include <cmath>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/attention.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {

void attention_merge(Stream& stream, const AttentionMerge& args) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, args] {
    const int64_t tokens = args.out.dim(0), width = args.out.dim(1), heads = args.lse.dim(0);
    const int64_t head_dim = width / heads;
    for_rows(cpu.pool(), tokens, 3 * width * size_of(DType::f32), [&](Range range) {
      for (int64_t t = range.begin; t < range.end; ++t)
        for (int64_t h = 0; h < heads; ++h) {
          float& lse = args.lse.data<float>()[h * tokens + t];
          const float other = args.part_lse.data<float>()[h * tokens + t];
          const float top = std::max(lse, other);
          if (top == -INFINITY) continue;  // neither set has a key this query sees
          const float here = std::exp(lse - top), there = std::exp(other - top), total = here + there;
          float* const out = args.out.data<float>() + t * width + h * head_dim;
          const float* const part = args.part.data<float>() + t * width + h * head_dim;
          for (int64_t c = 0; c < head_dim; ++c) out[c] = out[c] * (here / total) + part[c] * (there / total);
          lse = top + std::log(total);
        }
    });
  });
}

}  // namespace strata::cpu
