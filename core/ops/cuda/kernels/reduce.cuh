// SPDX-License-Identifier: Apache-2.0
// Sums over rows, exact sums of squares, sums of losses.
#pragma once

#include "core/ops/cuda/kernels/exact_sum.cuh"
#include "core/ops/cuda/kernels/rows.cuh"
#include "core/ops/loss_sum.h"

namespace strata::cuda {

inline constexpr int kColumnThreads = 128;
inline constexpr int kSquareThreads = 256;
inline constexpr int kSquareVectors = 4;  // loads of a thread in flight

// partials[piece][c] = sum of x[r][c] over the rows of a piece, in order. The grid is (columns, pieces), a
// thread has kWide neighbouring columns. Reads x once: bound by memory.
template <typename T, int kWide>
__global__ void column_sum_kernel(Rows<const T> x, int64_t rows, int64_t columns, int64_t rows_per_piece,
                                  float* partials) {
  const int64_t column = (int64_t{blockIdx.x} * kColumnThreads + threadIdx.x) * kWide;
  if (column >= columns) return;
  const int64_t begin = int64_t{blockIdx.y} * rows_per_piece;
  const int64_t end = begin + rows_per_piece < rows ? begin + rows_per_piece : rows;
  float sums[kWide] = {};
#pragma unroll 4
  for (int64_t row = begin; row < end; ++row) {
    const Vector<T, kWide> values = load_vector<T, kWide>(x.row(row) + column);
#pragma unroll
    for (int e = 0; e < kWide; ++e) sums[e] += to_float(values.at[e]);
  }
  float* const out = partials + int64_t{blockIdx.y} * columns + column;
#pragma unroll
  for (int e = 0; e < kWide; ++e) out[e] = sums[e];
}

__global__ inline void zero_words_kernel(Limb* words) {
  if (threadIdx.x < kExactWords) words[threadIdx.x] = 0;
}

// words += the squares of x[0, n), blocks striding over it. Some 60 integer instructions an element: bound by them
// rather than by memory.
template <typename T, int kWide>
__global__ void square_sum_kernel(const T* x, int64_t n, Limb* words) {
  STRATA_SHARED(Limb, of_block, [kExactWords]);
  if (threadIdx.x < kExactWords) of_block[threadIdx.x] = 0;
  __syncthreads();
  ExactThread sum(of_block);
  const auto take = [&](T value) {
    const float f = to_float(value);
    if ((__float_as_uint(f) & 0x7FFFFFFFu) >= 0x7F800000u)
      sum.add_not_finite();
    else if (f != 0)
      sum.add(square_term(f));
  };
  const int64_t vectors = n / kWide, stride = int64_t{gridDim.x} * kSquareThreads;
  int64_t at = int64_t{blockIdx.x} * kSquareThreads + threadIdx.x;
  for (; at + (kSquareVectors - 1) * stride < vectors; at += kSquareVectors * stride) {
    Vector<T, kWide> values[kSquareVectors];
#pragma unroll
    for (int slot = 0; slot < kSquareVectors; ++slot)
      values[slot] = load_vector<T, kWide>(x + (at + slot * stride) * kWide);
#pragma unroll
    for (int slot = 0; slot < kSquareVectors; ++slot)
      for (int e = 0; e < kWide; ++e) take(values[slot].at[e]);
  }
  for (; at < vectors; at += stride) {
    const Vector<T, kWide> values = load_vector<T, kWide>(x + at * kWide);
    for (int e = 0; e < kWide; ++e) take(values.at[e]);
  }
  if (blockIdx.x == 0)
    for (int64_t i = vectors * kWide + threadIdx.x; i < n; i += kSquareThreads) take(x[i]);
  sum.flush();
  __syncthreads();
  if (threadIdx.x < kExactWords && of_block[threadIdx.x] != 0)
    atomicAdd(words + threadIdx.x, of_block[threadIdx.x]);
}

__global__ inline void add_words_kernel(const Limb* words, BinnedSum* sum) {
  if (threadIdx.x == 0) add_words(words, sum);
}

// *sum += the losses of rows with a target. One block: there are only as many as tokens.
__global__ inline void sum_losses_kernel(const float* nll, const int32_t* targets, int64_t rows,
                                         LossSum* sum) {
  STRATA_SHARED(Limb, positive, [kExactWords]);
  STRATA_SHARED(Limb, negative, [kExactWords]);
  STRATA_SHARED(Limb, num_targets, [1]);
  if (threadIdx.x < kExactWords) positive[threadIdx.x] = negative[threadIdx.x] = 0;
  if (threadIdx.x == 0) num_targets[0] = 0;
  __syncthreads();
  ExactThread up(positive), down(negative);
  Limb mine = 0;
  for (int64_t row = threadIdx.x; row < rows; row += blockDim.x) {
    if (targets[row] < 0) continue;
    ++mine;
    const uint32_t bits = __float_as_uint(nll[row]), magnitude = bits & 0x7FFFFFFFu;
    if (magnitude >= 0x7F800000u) {
      up.add_not_finite();
      continue;
    }
    const uint32_t exponent = magnitude >> 23;
    const uint32_t fraction = (magnitude & 0x7FFFFFu) | (exponent > 0 ? 0x800000u : 0u);
    const ExactTerm term{fraction,
                         static_cast<int>(exponent > 0 ? exponent : 1) - 150 - BinnedSum::kLowestExponent};
    bits >> 31 ? down.add(term) : up.add(term);
  }
  up.flush();
  down.flush();
  if (mine != 0) atomicAdd(num_targets, mine);
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int i = 0; i < BinnedSum::kBins; ++i) positive[i] -= negative[i];
  add_words(positive, &sum->nll);
  sum->targets += static_cast<int64_t>(num_targets[0]);
}

}  // namespace strata::cuda
