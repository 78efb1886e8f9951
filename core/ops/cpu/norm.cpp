// SPDX-License-Identifier: Apache-2.0
#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/amax.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/norm_kernels.h"
#include "core/ops/cpu/row_sums.h"

namespace strata::cpu {
namespace {

// RmsNormForward and LayerNormForward as the kernels see them; the parts RMSNorm lacks are absent.
NormForwardRows forward_rows(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y,
                             const Tensor& mean, const Tensor& rstd, float eps) {
  return {.x = ref(x),
          .weight = ref(weight),
          .bias = ref(bias),
          .y = ref(y),
          .mean = pointer<float>(mean),
          .rstd = pointer<float>(rstd),
          .groups = x.dim(1) / weight.numel(),
          .width = weight.numel(),
          .eps = eps};
}

template <typename Args>
NormBackwardRows backward_rows(const Args& args, const Tensor& mean) {
  return {.x = ref(args.x),
          .weight = ref(args.weight),
          .dy = ref(args.dy),
          .dx = ref(args.dx),
          .add = ref(args.add),
          .mean = pointer<float>(mean),
          .rstd = pointer<float>(args.rstd),
          .groups = args.x.dim(1) / args.weight.numel(),
          .width = args.weight.numel()};
}

int64_t partial_bytes(const Tensor& x, const Tensor& dweight, int64_t sums) {
  if (!dweight) return 0;
  return row_sum_pieces(x.dim(0)) * sums * dweight.numel() * static_cast<int64_t>(sizeof(float));
}

}  // namespace

void rms_norm_forward(Stream& stream, const RmsNormForward& args) {
  CpuStream& cpu = cpu_stream(stream);
  const auto rows = forward_rows(args.x, args.weight, {}, args.y, {}, args.rstd, args.eps);
  cpu.enqueue([&cpu, args, rows] {
    const NormKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), norm_kernels);
    for_rows(cpu.pool(), args.x.dim(0), args.x.dim(1) * size_of(args.x.dtype()), [&](Range range) {
      kernels.rms_forward(rows, range);
      raise_amax(cpu.isa(), args.amax, args.y, range);
    });
  });
}

void layer_norm_forward(Stream& stream, const LayerNormForward& args) {
  CpuStream& cpu = cpu_stream(stream);
  const auto rows = forward_rows(args.x, args.weight, args.bias, args.y, args.mean, args.rstd, args.eps);
  cpu.enqueue([&cpu, args, rows] {
    const NormKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), norm_kernels);
    for_rows(cpu.pool(), args.x.dim(0), args.x.dim(1) * size_of(args.x.dtype()), [&](Range range) {
      kernels.layer_forward(rows, range);
      raise_amax(cpu.isa(), args.amax, args.y, range);
    });
  });
}

int64_t rms_norm_backward_scratch(const RmsNormBackward& args) {
  return partial_bytes(args.x, args.dweight, 1);
}
int64_t layer_norm_backward_scratch(const LayerNormBackward& args) {
  return partial_bytes(args.x, args.dweight, 2);
}

void rms_norm_backward(Stream& stream, const RmsNormBackward& args) {
  CpuStream& cpu = cpu_stream(stream);
  Scratch::Scope scope(cpu.scratch());
  const int64_t width = args.weight.numel();
  float* partials = reinterpret_cast<float*>(cpu.scratch().take(rms_norm_backward_scratch(args)));
  cpu.enqueue([&cpu, args, partials, width, rows = backward_rows(args, {})] {
    const NormKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), norm_kernels);
    const int64_t piece = row_sum_piece(args.x.dim(0));
    for_pieces(cpu.pool(), args.x.dim(0), piece, [&](Range range) {
      kernels.rms_backward(rows, range, args.dweight ? partials + range.begin / piece * width : nullptr);
    });
    if (!args.dweight) return;
    combine_row_sums(cpu.pool(), STRATA_SELECT_ISA(cpu.isa(), reduce_kernels), partials,
                     row_sum_pieces(args.x.dim(0)), width, width, args.dweight.data<float>(), args.write);
  });
}

void layer_norm_backward(Stream& stream, const LayerNormBackward& args) {
  CpuStream& cpu = cpu_stream(stream);
  Scratch::Scope scope(cpu.scratch());
  const int64_t width = args.weight.numel();
  float* partials = reinterpret_cast<float*>(cpu.scratch().take(layer_norm_backward_scratch(args)));
  cpu.enqueue([&cpu, args, partials, width, rows = backward_rows(args, args.mean)] {
    const NormKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), norm_kernels);
    const int64_t piece = row_sum_piece(args.x.dim(0)), pieces = row_sum_pieces(args.x.dim(0));
    for_pieces(cpu.pool(), args.x.dim(0), piece, [&](Range range) {
      float* sums = args.dweight ? partials + range.begin / piece * 2 * width : nullptr;
      kernels.layer_backward(rows, range, sums, sums ? sums + width : nullptr);
    });
    if (!args.dweight) return;
    const ReduceKernels& reduce = STRATA_SELECT_ISA(cpu.isa(), reduce_kernels);
    combine_row_sums(cpu.pool(), reduce, partials, pieces, 2 * width, width, args.dweight.data<float>(),
                     args.write);
    combine_row_sums(cpu.pool(), reduce, partials + width, pieces, 2 * width, width, args.dbias.data<float>(),
                     args.write);
  });
}

}  // namespace strata::cpu
