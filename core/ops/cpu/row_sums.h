// SPDX-License-Identifier: Apache-2.0
// Sums over all rows, in two steps of fixed shape: pieces of rows are summed into one row of partial sums
// each, then the partial rows are added in order.
#pragma once

#include "core/ops/cpu/kernels/reduce_kernels.h"
#include "core/ops/cpu/parallel.h"
#include "core/ops/write.h"

namespace strata::cpu {

// At most 128 pieces, and no fewer than 8 rows in one, so that the partial sums stay small beside the rows.
inline int64_t row_sum_piece(int64_t rows) { return std::max<int64_t>(8, div_up(rows, 128)); }
inline int64_t row_sum_pieces(int64_t rows) { return div_up(rows, row_sum_piece(rows)); }

// out[c] (op)= sum over pieces of partials[piece * stride + c], c in [0, columns).
inline void combine_row_sums(WorkerPool& pool, const ReduceKernels& kernels, const float* partials,
                             int64_t pieces, int64_t stride, int64_t columns, float* out, Write write) {
  const bool accumulate = write == Write::accumulate;
  for_pieces(pool, columns, 256,
             [&](Range range) { kernels.combine(partials, pieces, stride, range, out, accumulate); });
}

}  // namespace strata::cpu
