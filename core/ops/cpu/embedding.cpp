// SPDX-License-Identifier: Apache-2.0
// The gradient sorts tokens by row first (a stable counting sort), then every row of the table belongs to one
// worker: no atomics, and a row's sum runs over its tokens in increasing order.
#include "core/ops/embedding.h"

#include <cstring>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/pointwise_kernels.h"
#include "core/ops/cpu/kernels/reduce_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {
namespace {

// `num_ids` as the operations give it: 0 where the table of `rows` rows is all there is.
void check_ids(std::span<const int32_t> ids, int64_t num_ids, int64_t rows) {
  check_token_ids(ids, num_ids == 0 ? rows : num_ids);
}

// Pieces of the sorted tokens and of the columns that one worker takes.
constexpr int64_t kTokenPiece = 32, kColumnPiece = 1024;

}  // namespace

void embedding_forward(Stream& stream, const EmbeddingForward& args) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, args] {
    const std::span<const int32_t> ids = args.ids.span<int32_t>();
    const int64_t rows = args.table.dim(0);
    check_ids(ids, args.num_ids, rows);
    const PointwiseKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels);
    const int64_t width = args.table.dim(1), row_bytes = width * size_of(args.table.dtype());
    const MatrixRef table = ref(args.table), out = ref(args.out);
    for_rows(cpu.pool(), args.ids.dim(0), row_bytes, [&](Range range) {
      for (int64_t t = range.begin; t < range.end; ++t) {
        const int64_t row = ids[static_cast<size_t>(t)] - args.first_id;
        const bool here = row >= 0 && row < rows;
        const MatrixRef from = offset(table, here ? row * table.stride : 0);
        const MatrixRef to = offset(out, t * out.stride);
        if (!here) {
          if (args.write == Write::overwrite) std::memset(to.data, 0, static_cast<size_t>(row_bytes));
        } else if (args.write == Write::accumulate)
          kernels.add(to, from, to, width);
        else
          std::memcpy(to.data, from.data, static_cast<size_t>(row_bytes));
      }
    });
  });
}

int64_t embedding_backward_scratch(const EmbeddingBackward& args) {
  return (args.dtable.dim(0) + 1 + args.ids.dim(0)) * static_cast<int64_t>(sizeof(int32_t));
}

void embedding_backward(Stream& stream, const EmbeddingBackward& args) {
  CpuStream& cpu = cpu_stream(stream);
  Scratch::Scope scope(cpu.scratch());
  auto* memory = reinterpret_cast<int32_t*>(cpu.scratch().take(embedding_backward_scratch(args)));
  if (args.write == Write::overwrite) cpu::fill(stream, args.dtable, 0.0f);
  cpu.enqueue([&cpu, args, memory] {
    const std::span<const int32_t> ids = args.ids.span<int32_t>();
    const int64_t rows = args.dtable.dim(0), ids_count = args.ids.dim(0), width = args.dtable.dim(1);
    check_ids(ids, args.num_ids, rows);
    // The row of token t; outside [0, rows) it belongs to another part of the table.
    const auto row_of = [&](int64_t t) { return ids[static_cast<size_t>(t)] - args.first_id; };
    const auto here = [&](int64_t row) { return row >= 0 && row < rows; };
    // first[row] is where the tokens of `row` begin in `order`; while placing, where its next one goes.
    int32_t* const first = memory;
    int32_t* const order = memory + rows + 1;
    std::fill(first, first + rows + 1, 0);
    for (int64_t t = 0; t < ids_count; ++t)
      if (here(row_of(t))) ++first[row_of(t) + 1];
    for (int64_t r = 0; r < rows; ++r) first[r + 1] += first[r];
    const int64_t tokens = first[rows];
    for (int64_t t = 0; t < ids_count; ++t)
      if (here(row_of(t))) order[first[row_of(t)]++] = static_cast<int32_t>(t);

    const ReduceKernels& kernels = STRATA_SELECT_ISA(cpu.isa(), reduce_kernels);
    const MatrixRef dout = ref(args.dout);
    float* const dtable = args.dtable.data<float>();
    const int64_t column_pieces = div_up(width, kColumnPiece);
    cpu.pool().for_each(div_up(tokens, kTokenPiece) * column_pieces, [&](int64_t item, int) {
      // The runs of equal ids that begin in this piece, whole, however far they reach.
      const int64_t begin = item / column_pieces * kTokenPiece, end = std::min(tokens, begin + kTokenPiece);
      const int64_t column = item % column_pieces * kColumnPiece;
      const Range columns{column, std::min(width, column + kColumnPiece)};
      const auto row_at = [&](int64_t i) { return row_of(order[i]); };
      int64_t i = begin;
      while (i > 0 && i < end && row_at(i) == row_at(i - 1)) ++i;
      while (i < end) {
        int64_t run_end = i + 1;
        while (run_end < tokens && row_at(run_end) == row_at(i)) ++run_end;
        kernels.add_rows(dout, order + i, run_end - i, columns, dtable + row_at(i) * width);
        i = run_end;
      }
    });
  });
}

}  // namespace strata::cpu
