// SPDX-License-Identifier: Apache-2.0
#include "core/ops/activation.h"

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/amax.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/pointwise_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {
namespace {

// Enqueues kernel(args, range) over pieces of the rows of `like`, which write `out`. The tensors of an
// operation are kept alive by `keep`.
template <typename Rows, typename Kernel, typename Keep>
void enqueue_rows(Stream& stream, const Tensor& like, const Rows& rows, Kernel PointwiseKernels::*kernel,
                  const Tensor& out, const Keep& keep) {
  CpuStream& cpu = cpu_stream(stream);
  const int64_t count = like.dim(0), row_bytes = like.dim(1) * size_of(like.dtype());
  cpu.enqueue([&cpu, rows, kernel, count, row_bytes, out, keep] {
    const Kernel run = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels).*kernel;
    for_rows(cpu.pool(), count, row_bytes, [&](Range range) {
      run(rows, range);
      raise_amax(cpu.isa(), keep.amax, out, range);
    });
  });
}

}  // namespace

void swiglu_forward(Stream& stream, const SwigluForward& args) {
  const SwigluRows rows{
      .gate_up = ref(args.gate_up), .dy = {}, .out = ref(args.y), .width = args.gate_up.dim(1) / 2};
  enqueue_rows(stream, args.gate_up, rows, &PointwiseKernels::swiglu_forward, args.y, args);
}

void swiglu_backward(Stream& stream, const SwigluBackward& args) {
  const SwigluRows rows{.gate_up = ref(args.gate_up),
                        .dy = ref(args.dy),
                        .out = ref(args.dgate_up),
                        .width = args.gate_up.dim(1) / 2};
  enqueue_rows(stream, args.gate_up, rows, &PointwiseKernels::swiglu_backward, args.dgate_up, args);
}

void gelu_forward(Stream& stream, const GeluForward& args) {
  const GeluRows rows{.x = ref(args.x), .dy = {}, .out = ref(args.y), .width = args.x.dim(1)};
  enqueue_rows(stream, args.x, rows, &PointwiseKernels::gelu_forward, args.y, args);
}

void gelu_backward(Stream& stream, const GeluBackward& args) {
  const GeluRows rows{.x = ref(args.x), .dy = ref(args.dy), .out = ref(args.dx), .width = args.x.dim(1)};
  enqueue_rows(stream, args.x, rows, &PointwiseKernels::gelu_backward, args.dx, args);
}

}  // namespace strata::cpu
