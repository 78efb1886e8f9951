// SPDX-License-Identifier: Apache-2.0
// From the segments of an attention operation to batches the attention library takes: runs of neighbouring
// segments, each a batch of sequences. Shapes come from few sizes, since the library makes itself ready for
// each one anew.
#pragma once

#include <span>
#include <vector>

#include "core/ops/attention.h"
#include "core/ops/cuda/sdpa.h"

namespace strata::cuda {

struct SdpaRun {
  size_t first = 0, count = 0;  // segments
  int64_t batch = 0;            // at least count: a ragged batch ends with empty sequences
  int64_t q_length = 0, kv_length = 0;
  bool ragged = false;
};

// Segments of the operation as whole sequences that lie one behind the other in queries and keys alike; empty
// when they are not, or see each other in a way that a batch has no word for.
std::vector<AttentionSegment> sdpa_sequences(std::span<const AttentionSegment> segments, bool causal,
                                             int64_t queries, int64_t keys);

// How large one batch may be, of an operation on so many queries and keys: a single sequence of all of them
// fits.
struct SdpaLimits {
  int64_t q_rows = 0, kv_rows = 0;  // batch * length
  int64_t scores = 0;               // of one head, as backward keeps them in working memory: in whole tiles
};
SdpaLimits sdpa_limits(int64_t queries, int64_t keys);
int64_t sdpa_scores(int64_t batch, int64_t q_length, int64_t kv_length);

// Segments of one length are one batch without tables.
std::vector<SdpaRun> sdpa_runs(std::span<const AttentionSegment> sequences, const SdpaLimits& limits);

// Bytes of working memory that backward may take for `heads` heads of a batch within the limits; forward
// takes less than kSdpaForwardWorkspace.
int64_t sdpa_backward_workspace(int64_t heads, const SdpaLimits& limits, int64_t qk_dim, int64_t v_dim);
inline constexpr int64_t kSdpaForwardWorkspace = 1 << 20;

}  // namespace strata::cuda
