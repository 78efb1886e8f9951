// SPDX-License-Identifier: Apache-2.0
// Rows of a table by index, and the gradient of that without float atomics.
//
// Forward: a block of 128 threads takes tokens in turn, a thread vectors of 16 bytes; one read, one write. An
// id outside [0, num_ids) makes its row NaN, so that it cannot pass unnoticed (a kernel cannot throw):
// whoever uploads ids checks them (check_token_ids in core/ops/embedding.h).
//
// Backward: tokens are sorted by row (kernels/token_sort.cuh, stable). The grid is (places in the sorted
// order, pieces of columns); where a row's tokens begin, a block adds them all in increasing order, eight
// loads in flight, and elsewhere it has nothing to do. So an element of the table has one owner, and the bits
// are those of adding token by token. Bound by memory, but for a token so frequent that its owner works alone
// at the end.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kEmbeddingThreads = 128;
inline constexpr int kEmbeddingLoads = 8;

template <typename T>
struct EmbeddingRows {
  Rows<const T> table;
  const int32_t* ids;
  Rows<T> out;
  int64_t tokens, rows, width;
  int64_t first_id, num_ids;
  bool accumulate;
};

template <typename T, int kWide>
__global__ void embedding_forward_kernel(const EmbeddingRows<T> args) {
  const int64_t vectors = args.width / kWide;
  for (int64_t token = blockIdx.x; token < args.tokens; token += gridDim.x) {
    const int64_t id = args.ids[token], row = id - args.first_id;
    const bool known = id >= 0 && id < args.num_ids, here = known && row >= 0 && row < args.rows;
    T* const out = args.out.row(token);
    for (int64_t i = threadIdx.x; i < vectors; i += kEmbeddingThreads) {
      Vector<T, kWide> result;
      if (here) {
        result = load_vector<T, kWide>(args.table.row(row) + i * kWide);
        if (args.accumulate) {
          const auto before = load_vector<T, kWide>(out + i * kWide);
#pragma unroll
          for (int e = 0; e < kWide; ++e)
            result.at[e] = from_float<T>(to_float(before.at[e]) + to_float(result.at[e]));
        }
      } else {
        if (known && args.accumulate) break;  // another part of the table has it
#pragma unroll
        for (int e = 0; e < kWide; ++e)
          result.at[e] = from_float<T>(known ? 0.0f : __int_as_float(0x7FC00000));
      }
      store_vector(out + i * kWide, result);
    }
  }
}

// Tokens in order of their row, equal rows in order of tokens; rows from `rows` on are of no token here.
struct SortedTokens {
  const uint32_t *row, *token;
  int64_t count;
};

template <typename T, int kWide>
__global__ void embedding_backward_kernel(SortedTokens sorted, Rows<const T> dout, float* dtable,
                                          int64_t rows, int64_t width) {
  const int64_t place = blockIdx.x;
  const uint32_t row = sorted.row[place];
  if (row >= rows || (place > 0 && sorted.row[place - 1] == row)) return;
  const int64_t column = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kWide;
  if (column >= width) return;
  float* const out = dtable + int64_t{row} * width + column;
  constexpr int kPart = kWide % 4 == 0 ? 4 : 1;  // floats of one access
  float total[kWide];
#pragma unroll
  for (int part = 0; part < kWide; part += kPart) {
    const auto before = load_vector<float, kPart>(out + part);
#pragma unroll
    for (int e = 0; e < kPart; ++e) total[part + e] = before.at[e];
  }
  for (int64_t first = place; first < sorted.count && sorted.row[first] == row; first += kEmbeddingLoads) {
    Vector<T, kWide> held[kEmbeddingLoads];
    bool same[kEmbeddingLoads];
#pragma unroll
    for (int slot = 0; slot < kEmbeddingLoads; ++slot) {
      const int64_t i = first + slot;
      same[slot] = i < sorted.count && sorted.row[i] == row;
      if (same[slot]) held[slot] = load_vector<T, kWide>(dout.row(sorted.token[i]) + column);
    }
#pragma unroll
    for (int slot = 0; slot < kEmbeddingLoads; ++slot)
      if (same[slot]) {
#pragma unroll
        for (int e = 0; e < kWide; ++e) total[e] += to_float(held[slot].at[e]);
      }
  }
#pragma unroll
  for (int part = 0; part < kWide; part += kPart) {
    Vector<float, kPart> sums;
#pragma unroll
    for (int e = 0; e < kPart; ++e) sums.at[e] = total[part + e];
    store_vector(out + part, sums);
  }
}

}  // namespace strata::cuda
