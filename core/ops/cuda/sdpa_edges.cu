// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/sdpa_edges.h"

#include <algorithm>

#include "core/ops/cuda/kernels/attention_sdpa.cuh"

namespace strata::cuda {

void store_sdpa_tables(CudaStream& stream, const SdpaShape& shape,
                       std::span<const AttentionSegment> sequences, int32_t* tables) {
  SdpaStrides strides{};
  std::copy_n(shape.stride, kSdpaOperands, strides.of);
  const AttentionSegment& last = sequences.back();
  for (int64_t first = 0; first <= shape.batch; first += kSdpaBatch) {
    SdpaSequences batch{};
    const auto count = static_cast<int>(std::min<int64_t>(kSdpaBatch, shape.batch + 1 - first));
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(first + i);
      if (at < sequences.size()) {
        const AttentionSegment& s = sequences[at];
        batch.at[i] = SdpaSequence{s.q_begin, s.k_begin, s.q_count, s.k_count};
      } else {
        batch.at[i] = SdpaSequence{last.q_begin + last.q_count, last.k_begin + last.k_count, 0, 0};
      }
    }
    launch(stream, sdpa_tables_kernel, Grid{dim3(1), dim3(kSdpaBatch)}, batch, strides, tables, shape.batch,
           first, count);
  }
}

void move_sdpa_stats(CudaStream& stream, const SdpaCall& call, float* lse, int64_t tokens, SdpaStatsWay way) {
  const SdpaShape& s = call.shape;
  const SdpaStats stats{lse, call.stats, call.tables, tokens, s.batch, s.heads, s.q_length, s.stride[kSdpaQ]};
  const Grid grid{dim3(narrow<unsigned>(div_up(s.q_length, kSdpaStatsThreads)), narrow<unsigned>(s.heads),
                       narrow<unsigned>(s.batch)),
                  dim3(kSdpaStatsThreads)};
  if (way == SdpaStatsWay::to_library)
    launch(stream, sdpa_stats_kernel<true>, grid, stats);
  else
    launch(stream, sdpa_stats_kernel<false>, grid, stats);
}

}  // namespace strata::cuda
