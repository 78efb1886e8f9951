// SPDX-License-Identifier: Apache-2.0
#include "core/ops/elementwise.h"

#include <cstring>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/pointwise_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {
namespace {

// Elements of a piece of a contiguous tensor.
int64_t piece_of(const Tensor& x) { return kPieceBytes / size_of(x.dtype()); }

}  // namespace

void copy(Stream& stream, const Tensor& from, const Tensor& to) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, from, to] {
    const auto run = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels).copy;
    const auto copy_elements = [&](MatrixRef source, MatrixRef target, int64_t count) {
      if (from.dtype() == to.dtype())
        std::memmove(target.data, source.data, static_cast<size_t>(count * size_of(from.dtype())));
      else
        run(source, target, count);
    };
    if (from.contiguous() && to.contiguous()) {
      for_pieces(cpu.pool(), from.numel(), piece_of(from), [&](Range range) {
        copy_elements(offset(ref(from), range.begin), offset(ref(to), range.begin), range.end - range.begin);
      });
      return;
    }
    for_rows(cpu.pool(), from.dim(0), from.dim(1) * size_of(from.dtype()), [&](Range range) {
      for (int64_t r = range.begin; r < range.end; ++r)
        copy_elements(offset(ref(from), r * from.stride(0)), offset(ref(to), r * to.stride(0)), from.dim(1));
    });
  });
}

void fill(Stream& stream, const Tensor& x, float value) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, x, value] {
    const PointwiseKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels);
    for_pieces(cpu.pool(), x.numel(), piece_of(x), [&](Range range) {
      kernels.fill(offset(ref(x), range.begin), value, range.end - range.begin);
    });
  });
}

void add(Stream& stream, const Tensor& a, const Tensor& b, const Tensor& out) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, a, b, out] {
    const PointwiseKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels);
    if (b.rank() != a.rank()) {
      for_rows(cpu.pool(), a.dim(0), a.dim(1) * size_of(a.dtype()), [&](Range range) {
        for (int64_t r = range.begin; r < range.end; ++r)
          kernels.add(offset(ref(a), r * a.stride(0)), ref(b), offset(ref(out), r * out.stride(0)), a.dim(1));
      });
      return;
    }
    for_pieces(cpu.pool(), a.numel(), piece_of(a), [&](Range range) {
      kernels.add(offset(ref(a), range.begin), offset(ref(b), range.begin), offset(ref(out), range.begin),
                  range.end - range.begin);
    });
  });
}

void scale(Stream& stream, const Tensor& x, float s) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, x, s] {
    const PointwiseKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels);
    for_pieces(cpu.pool(), x.numel(), piece_of(x), [&](Range range) {
      kernels.scale(x.data<float>() + range.begin, s, range.end - range.begin);
    });
  });
}

}  // namespace strata::cpu
