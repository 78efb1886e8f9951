// SPDX-License-Identifier: Apache-2.0
// How work of the CPU's operations is cut: into pieces whose size follows from the shapes alone, so that
// neither the number of threads nor which of them runs a piece changes a bit.
#pragma once

#include <algorithm>

#include "core/base/check.h"
#include "core/base/worker_pool.h"
#include "core/ops/cpu/kernels/matrix_ref.h"
#include "core/tensor/tensor.h"

namespace strata::cpu {

// What one piece should touch: large against the cost of handing it out, small against a core's second-level
// cache.
inline constexpr int64_t kPieceBytes = 128 << 10;

// Calls body(Range) for consecutive pieces of [0, count).
template <typename Body>
void for_pieces(WorkerPool& pool, int64_t count, int64_t piece, const Body& body) {
  pool.for_each(div_up(count, piece), [&](int64_t index, int) {
    body(Range{index * piece, std::min(count, (index + 1) * piece)});
  });
}
// The same, a piece being as many rows as make kPieceBytes.
template <typename Body>
void for_rows(WorkerPool& pool, int64_t rows, int64_t bytes_per_row, const Body& body) {
  for_pieces(pool, rows, std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, bytes_per_row)), body);
}

// For kernels. Rank 1 or 2; absent stays null.
inline MatrixRef ref(const Tensor& x) { return {x.raw(), x.rank() == 2 ? x.stride(0) : 0, x.dtype()}; }
template <typename T>
T* pointer(const Tensor& x) {
  return x ? x.data<T>() : nullptr;
}
// The matrix starting at element `offset`.
inline MatrixRef offset(MatrixRef x, int64_t elements) {
  if (x.data) x.data = static_cast<std::byte*>(x.data) + elements * size_of(x.dtype);
  return x;
}

}  // namespace strata::cpu
