// SPDX-License-Identifier: Apache-2.0
// A stable sort of the tokens of a micro-batch by their row of a table: radix sort, eight bits at a time from
// the lowest. Integer work on a few bytes a token, small beside the rows themselves.
//
// One pass is three kernels: digits are counted tile by tile (counts [256, tiles]), the counts are summed up
// to where each tile's tokens of a digit go, and tokens are placed. A token's place within its tile comes
// from ballots of its warp and counts of the warps before, so the order does not depend on when a block or
// warp runs.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kSortThreads = 256;
inline constexpr int kSortTile = 1024;  // tokens of a block
inline constexpr int kSortDigits = 256;
inline constexpr int kScanThreads = 1024;

// Rows of a table [rows], and tokens; a token whose id is not of this table has row `rows`.
__global__ void token_rows_kernel(const int32_t* ids, int64_t count, int64_t first_id, int64_t rows,
                                  uint32_t* row, uint32_t* token) {
  const int64_t t = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (t >= count) return;
  const int64_t at = ids[t] - first_id;
  row[t] = static_cast<uint32_t>(at >= 0 && at < rows ? at : rows);
  token[t] = static_cast<uint32_t>(t);
}

__device__ inline unsigned digit_of(uint32_t row, int shift) { return row >> shift & (kSortDigits - 1); }

__global__ void count_digits_kernel(const uint32_t* row, int64_t count, int shift, uint32_t* counts) {
  STRATA_SHARED(uint32_t, of_tile, [kSortDigits]);
  of_tile[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = int64_t{blockIdx.x} * kSortTile;
  for (int64_t i = begin + threadIdx.x; i < begin + kSortTile && i < count; i += kSortThreads)
    atomicAdd(&of_tile[digit_of(row[i], shift)], 1u);
  __syncthreads();
  counts[int64_t{threadIdx.x} * gridDim.x + blockIdx.x] = of_tile[threadIdx.x];
}

// counts become the sums of those before them. One block: each thread sums a run of its own, the runs are
// summed up in shared memory.
__global__ void __launch_bounds__(kScanThreads) scan_counts_kernel(uint32_t* counts, int64_t count) {
  STRATA_SHARED(uint32_t, sums, [2][kScanThreads]);
  const int64_t run = (count + kScanThreads - 1) / kScanThreads;
  const int64_t begin = run * threadIdx.x < count ? run * threadIdx.x : count;
  const int64_t end = begin + run < count ? begin + run : count;
  uint32_t total = 0;
  for (int64_t i = begin; i < end; ++i) total += counts[i];
  int from = 0;
  sums[from][threadIdx.x] = total;
  __syncthreads();
  for (unsigned step = 1; step < kScanThreads; step *= 2) {
    const uint32_t before = threadIdx.x >= step ? sums[from][threadIdx.x - step] : 0;
    sums[from ^ 1][threadIdx.x] = sums[from][threadIdx.x] + before;
    from ^= 1;
    __syncthreads();
  }
  uint32_t at = sums[from][threadIdx.x] - total;
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t here = counts[i];
    counts[i] = at;
    at += here;
  }
}

__global__ void place_tokens_kernel(const uint32_t* row, const uint32_t* token, int64_t count, int shift,
                                    const uint32_t* places, uint32_t* row_out, uint32_t* token_out) {
  constexpr int kWarps = kSortThreads / 32;
  STRATA_SHARED(uint32_t, next, [kSortDigits]);             // where the tile's next token of a digit goes
  STRATA_SHARED(uint32_t, of_warp, [kWarps][kSortDigits]);  // of the tokens at hand
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  next[threadIdx.x] = places[int64_t{threadIdx.x} * gridDim.x + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) of_warp[w][threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = int64_t{blockIdx.x} * kSortTile;
  for (int64_t first = begin; first < begin + kSortTile && first < count; first += kSortThreads) {
    const int64_t i = first + threadIdx.x;
    const bool present = i < count;
    const uint32_t key = present ? row[i] : 0;
    const unsigned digit = digit_of(key, shift);
    unsigned peers = __ballot_sync(0xFFFFFFFFu, present);  // lanes with the same digit
    for (int bit = 0; bit < 8; ++bit) {
      const bool set = (digit >> bit & 1u) != 0;
      const unsigned with = __ballot_sync(0xFFFFFFFFu, set);
      peers &= set ? with : ~with;
    }
    const unsigned before = static_cast<unsigned>(__popc(peers & ((1u << lane) - 1u)));
    if (present && before == 0) of_warp[warp][digit] = static_cast<uint32_t>(__popc(peers));
    __syncthreads();
    if (present) {
      uint32_t at = next[digit] + before;
      for (unsigned w = 0; w < warp; ++w) at += of_warp[w][digit];
      row_out[at] = key;
      token_out[at] = token[i];
    }
    __syncthreads();
    for (int w = 0; w < kWarps; ++w) {
      next[threadIdx.x] += of_warp[w][threadIdx.x];
      of_warp[w][threadIdx.x] = 0;
    }
    __syncthreads();
  }
}

}  // namespace strata::cuda
