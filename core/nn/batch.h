// SPDX-License-Identifier: Apache-2.0
// One micro-batch of token sequences: what core/data fills and a model's forward and loss read.
// Plain host memory; n below is rows * seq_len and index r * seq_len + t is token t of row r.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ops/attention.h"

namespace strata {

// The target of a token that takes no part in the loss.
inline constexpr int32_t kNoTarget = -1;

struct Batch {
  int64_t rows = 0;
  int64_t seq_len = 0;
  std::vector<int32_t> tokens;     // [n]
  std::vector<int32_t> targets;    // [n] the token to predict, or kNoTarget
  std::vector<int32_t> positions;  // [n] counted from the start of the token's segment
  // Cumulative: segment s is the tokens [segment_begin[s], segment_begin[s + 1]); the first entry is 0, the
  // last n. Attention never crosses a segment, and every row boundary is a segment boundary.
  std::vector<int32_t> segment_begin;
  int64_t num_targets = 0;  // targets other than kNoTarget
  // A context-parallel rank's part of a batch only, in place of segment_begin: what its queries see of each
  // piece of keys, its own first, then in the order in which they visit (KvExchange).
  std::vector<std::vector<AttentionSegment>> visits;
};

// What the queries of a batch see of its own keys, and behind it of those that visit. Memory of `visits` is
// reused.
void attention_visits(const Batch& batch, std::vector<std::vector<AttentionSegment>>& visits);

}  // namespace strata
