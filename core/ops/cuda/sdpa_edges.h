// SPDX-License-Identifier: Apache-2.0
// What the attention library does not do itself: tables of a ragged batch, and the log-sum-exp of queries in
// the layout of the operation. Enqueued; nothing of the host's is read after the call returns.
#pragma once

#include <span>

#include "core/ops/attention.h"
#include "core/ops/cuda/sdpa.h"

namespace strata::cuda {

// Tables (sdpa.h) of a batch of `shape`, for operands at the beginning of all tokens: the sequences, then
// empty ones.
void store_sdpa_tables(CudaStream& stream, const SdpaShape& shape,
                       std::span<const AttentionSegment> sequences, int32_t* tables);

// The library's [batch, heads, length] from, or to, the operation's [heads, tokens]: `lse` is that of the
// batch's first head, and of its first token where there are no tables. Rows past a sequence's end become 0,
// or are left out.
enum class SdpaStatsWay { to_library, from_library };
void move_sdpa_stats(CudaStream& stream, const SdpaCall& call, float* lse, int64_t tokens, SdpaStatsWay way);

}  // namespace strata::cuda
