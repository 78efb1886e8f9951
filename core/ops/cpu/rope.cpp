// SPDX-License-Identifier: Apache-2.0
#include "core/ops/rope.h"

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/amax.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/pointwise_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {

void rope(Stream& stream, const Rope& args) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, args] {
    const std::span<const int32_t> positions = args.positions.span<int32_t>();
    for (size_t t = 0; t < positions.size(); ++t)
      check(positions[t] >= 0 && positions[t] < args.cos.dim(0),
            "[rope] position {} of token {} is outside [0, {}), the rows of cos", positions[t], t,
            args.cos.dim(0));
    const int64_t half = args.cos.dim(1);
    const RopeRows rows{.x = ref(args.x),
                        .positions = positions.data(),
                        .cos = args.cos.data<float>(),
                        .sin = args.sin.data<float>(),
                        .heads = args.x.dim(1) / (2 * half),
                        .half = half,
                        .direction = args.inverse ? -1.0f : 1.0f};
    const PointwiseKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels);
    for_rows(cpu.pool(), args.x.dim(0), args.x.dim(1) * size_of(args.x.dtype()), [&](Range range) {
      kernels.rope(rows, range);
      raise_amax(cpu.isa(), args.amax, args.x, range);
    });
  });
}

}  // namespace strata::cpu
