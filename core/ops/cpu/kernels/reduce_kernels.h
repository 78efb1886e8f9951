// SPDX-License-Identifier: Apache-2.0
// Kernels of column sums, of scattered row sums and of the exact sum of squares.
#pragma once

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/ops/cpu/kernels/matrix_ref.h"

namespace strata::cpu {

inline constexpr int64_t kSquareBlock = 1024;

// The squares of up to kSquareBlock elements, each cut to its 31 leading bits, as exact numbers:
// sum = (low + high * 2^32) * 2^exponent + sum of rare[0 .. num_rare).
struct SquareBlock {
  uint64_t low = 0, high = 0;  // each below 2^36
  int32_t exponent = 0;
  int32_t num_rare = 0;
  int64_t non_finite = 0;  // elements left out because they are NaN or infinite
  double rare[kSquareBlock];
};

struct ReduceKernels {
  // out (f32 [columns]) = sum of these rows of x.
  void (*column_sum)(MatrixRef x, Range rows, int64_t columns, float* out);
  // out[c] = (out[c] +) sum over parts of partials[part * stride + c], for c in columns.
  void (*combine)(const float* partials, int64_t parts, int64_t stride, Range columns, float* out,
                  bool accumulate);
  // out[c] += sum over i of x[rows[i]][c], in the order of i, for c in columns.
  void (*add_rows)(MatrixRef x, const int32_t* rows, int64_t count, Range columns, float* out);
  void (*square_block)(MatrixRef x, int64_t count, SquareBlock* block);
};
STRATA_DECLARE_PER_ISA(const ReduceKernels reduce_kernels);

}  // namespace strata::cpu
