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

// How large one batch may be.
struct SdpaLimits {
  int64_t q_rows = 0, kv_rows = 0;  // batch * length
  int64_t bytes = 0;                // of working memory that backward may take
  int64_t heads = 1;                // that it takes them for, at least: those that share a key/value head
  int64_t qk_dim = 0, v_dim = 0;
};

// Bytes of working memory that backward may take for `heads` heads of a batch; forward takes less than
// kSdpaForwardWorkspace.
int64_t sdpa_backward_workspace(int64_t heads, const SdpaRun& run, int64_t qk_dim, int64_t v_dim);
inline constexpr int64_t kSdpaForwardWorkspace = 1 << 20;

// One sequence of all queries and keys, in lengths as batches have them.
SdpaRun sdpa_longest_run(int64_t queries, int64_t keys);

// Segments of one length are batches without tables. Empty when a sequence by itself is beyond the limits.
std::vector<SdpaRun> sdpa_runs(std::span<const AttentionSegment> sequences, const SdpaLimits& limits);

}  // namespace strata::cuda
