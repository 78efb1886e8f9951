// SPDX-License-Identifier: Apache-2.0
// What lies between an attention operation and the attention library: tables of a ragged batch, and the
// log-sum-exp of queries, [heads, tokens] here and [batch, heads, length] there. Bound by memory, small.
#pragma once

#include "core/device/cuda/kernel.cuh"
#include "core/ops/cuda/sdpa.h"

namespace strata::cuda {

inline constexpr int kSdpaBatch = 128;  // sequences a launch carries
struct SdpaSequence {
  int32_t q_begin, k_begin, q_count, k_count;
};
struct SdpaSequences {
  SdpaSequence at[kSdpaBatch];
};
struct SdpaStrides {
  int64_t of[kSdpaOperands];
};

// Sequences [first, first + count) of `batch` into the tables (sdpa.h); the end of the batch is a sequence
// too.
__global__ void sdpa_tables_kernel(const SdpaSequences sequences, const SdpaStrides strides, int32_t* tables,
                                   int64_t batch, int64_t first, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const SdpaSequence s = sequences.at[i];
  const int64_t at = first + i;
  if (at < batch) {
    tables[at] = s.q_count;
    tables[batch + at] = s.k_count;
  }
  for (int operand = 0; operand < kSdpaOperands; ++operand) {
    const int64_t begin = is_query_side(operand) ? s.q_begin : s.k_begin;
    tables[2 * batch + operand * (batch + 1) + at] = static_cast<int32_t>(begin * strides.of[operand]);
  }
}

struct SdpaStats {
  float* here;            // of the first head: [heads, tokens]
  float* there;           // [batch, heads, length]
  const int32_t* tables;  // null: sequences of `length` tokens from token 0
  int64_t tokens, batch, heads, length, q_stride;
};

// A block: 128 rows of one sequence and head.
inline constexpr int kSdpaStatsThreads = 128;
template <bool kToThere>
__global__ void sdpa_stats_kernel(const SdpaStats args) {
  const int64_t row = int64_t{blockIdx.x} * kSdpaStatsThreads + threadIdx.x;
  const int64_t head = blockIdx.y, sequence = blockIdx.z;
  const int64_t count = args.tables ? args.tables[sequence] : args.length;
  float& there = args.there[(sequence * args.heads + head) * args.length + row];
  if (row >= count) {  // -inf less this must stay -inf
    if (kToThere && row < args.length) there = 0;
    return;
  }
  const int64_t begin =
      args.tables ? args.tables[2 * args.batch + sequence] / args.q_stride : sequence * args.length;
  float& here = args.here[head * args.tokens + begin + row];
  if constexpr (kToThere)
    there = here;
  else
    here = there;
}

}  // namespace strata::cuda
