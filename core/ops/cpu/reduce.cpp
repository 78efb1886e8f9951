// SPDX-License-Identifier: Apache-2.0
#include "core/ops/reduce.h"

#include <mutex>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/row_sums.h"

namespace strata::cpu {

int64_t column_sum_scratch(const ColumnSum& args) {
  return row_sum_pieces(args.x.dim(0)) * args.x.dim(1) * static_cast<int64_t>(sizeof(float));
}

void column_sum(Stream& stream, const ColumnSum& args) {
  CpuStream& cpu = cpu_stream(stream);
  Scratch::Scope scope(cpu.scratch());
  float* partials = reinterpret_cast<float*>(cpu.scratch().take(column_sum_scratch(args)));
  cpu.enqueue([&cpu, args, partials] {
    const ReduceKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), reduce_kernels);
    const int64_t rows = args.x.dim(0), columns = args.x.dim(1), piece = row_sum_piece(rows);
    for_pieces(cpu.pool(), rows, piece, [&](Range range) {
      kernels.column_sum(ref(args.x), range, columns, partials + range.begin / piece * columns);
    });
    combine_row_sums(cpu.pool(), kernels, partials, row_sum_pieces(rows), columns, columns,
                     args.out.data<float>(), args.write);
  });
}

void sum_of_squares(Stream& stream, const Tensor& x, BinnedSum* sum) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, x, sum] {
    const ReduceKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), reduce_kernels);
    std::mutex mutex;
    for_pieces(cpu.pool(), x.numel(), 64 * kSquareBlock, [&](Range range) {
      BinnedSum part;
      SquareBlock block;
      // Of blocks with one exponent, which mostly follow one another; no more than 64, so they stay below
      // 2^42.
      uint64_t low = 0, high = 0;
      int32_t exponent = 0;
      const auto flush = [&] {
        part.add(low, exponent);
        part.add(high, exponent + 32);
        low = high = 0;
      };
      for (int64_t i = range.begin; i < range.end; i += kSquareBlock) {
        kernels.square_block(offset(ref(x), i), std::min(kSquareBlock, range.end - i), &block);
        if (block.exponent != exponent) flush();
        exponent = block.exponent;
        low += block.low;
        high += block.high;
        for (int r = 0; r < block.num_rare; ++r) part.add(block.rare[r]);
        part.non_finite += block.non_finite;
      }
      flush();
      std::lock_guard lock(mutex);  // in any order: the sum is exact
      sum->add(part);
    });
  });
}

}  // namespace strata::cpu
