// SPDX-License-Identifier: Apache-2.0
#include "core/ops/dropout.h"

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/dropout_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {

void dropout(Stream& stream, const Dropout& args) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, args] {
    const DropoutRate rate = dropout_rate(args.rate);
    const RandomKey& key = args.key;
    const DropoutRows rows{.x = ref(args.x),
                           .add = args.add ? ref(args.add) : MatrixRef{},
                           .out = ref(args.out),
                           .width = args.x.dim(1),
                           .key = {static_cast<uint32_t>(key.seed) ^ static_cast<uint32_t>(key.stream >> 32),
                                   static_cast<uint32_t>(key.seed >> 32)},
                           .counter = {key.step, static_cast<uint32_t>(key.stream)},
                           .first = args.first,
                           .pitch = args.pitch,
                           .below = rate.below,
                           .kept = rate.kept};
    const DropoutKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), dropout_kernels);
    for_rows(cpu.pool(), args.x.dim(0), args.x.dim(1) * size_of(args.x.dtype()),
             [&](Range range) { kernels.dropout(rows, range); });
  });
}

}  // namespace strata::cpu
