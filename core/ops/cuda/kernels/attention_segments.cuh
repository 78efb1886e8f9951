// SPDX-License-Identifier: Apache-2.0
// The segments of an attention (core/ops/attention.h) as its kernels see them: a table in device memory,
// sorted by first key. Which segment and queries a tile of queries is, and which segments a range of keys
// meets.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

struct SegmentEntry {
  int32_t q_begin, q_count, k_begin, k_count, diagonal;
  int32_t first_tile;  // tiles of queries of the entries before
  int32_t keys_end;    // largest end of keys of the entries up to this one
};

struct SegmentTable {
  const SegmentEntry* entries = nullptr;
  int32_t count = 0;
};

// The table goes to the device as arguments of kernels, which have room for this many entries (4 KiB): no
// host memory has to outlive the call.
inline constexpr int kSegmentBatch = 128;
struct SegmentBatch {
  SegmentEntry entries[kSegmentBatch];
};

__global__ void store_segments_kernel(const SegmentBatch batch, SegmentEntry* table, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < count) table[i] = batch.entries[i];
}

// The entry whose tiles of queries hold `tile`.
__device__ inline SegmentEntry segment_of_tile(const SegmentTable& table, int32_t tile) {
  int32_t low = 0, high = table.count;  // entries [0, low] begin at or before tile, [high, count) after it
  while (high - low > 1) {
    const int32_t middle = (low + high) / 2;
    if (table.entries[middle].first_tile <= tile)
      low = middle;
    else
      high = middle;
  }
  return table.entries[low];
}

// Entries [first, end) are those that may see some of the keys [begin, end_of_keys); some between may not.
struct EntryRange {
  int32_t first, end;
};
__device__ inline EntryRange segments_of_keys(const SegmentTable& table, int64_t begin, int64_t end_of_keys) {
  const auto first_where = [&](auto&& holds) {
    int32_t low = 0, high = table.count;  // holds() is false below low and true from high on
    while (low < high) {
      const int32_t middle = (low + high) / 2;
      if (holds(table.entries[middle]))
        high = middle;
      else
        low = middle + 1;
    }
    return low;
  };
  return {first_where([&](const SegmentEntry& e) { return e.keys_end > begin; }),
          first_where([&](const SegmentEntry& e) { return e.k_begin >= end_of_keys; })};
}

}  // namespace strata::cuda
