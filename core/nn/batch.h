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

// Two responses each, as segments of a micro-batch behind one another.
inline constexpr int64_t kLeastPair = 3;  // tokens of a pair, at least
struct ResponsePairs {
  std::vector<int32_t> begin;    // [3 pairs] the chosen one's first token, the rejected one's, its end
  std::vector<float> reference;  // [2 pairs] log-probability under the reference model: chosen, rejected

  bool empty() const { return reference.empty(); }
  int64_t size() const { return static_cast<int64_t>(reference.size() / 2); }
};

// Tokens [begin, begin + count) of a micro-batch are tokens `first`, first + 1, ... of the run: its rows are
// numbered as they are trained, in whatever micro-batch and on whatever rank.
struct TokenRun {
  int64_t begin = 0, count = 0, first = 0;
};

struct Batch {
  int64_t rows = 0;
  int64_t seq_len = 0;
  std::vector<int32_t> tokens;     // [n]
  std::vector<int32_t> targets;    // [n] the token to predict, or kNoTarget
  std::vector<int32_t> positions;  // [n] counted from the start of the token's segment
  // Cumulative: segment s is the tokens [segment_begin[s], segment_begin[s + 1]); the first entry is 0, the
  // last n. Attention never crosses a segment, and every row boundary is a segment boundary.
  std::vector<int32_t> segment_begin;
  int64_t num_targets = 0;  // targets other than kNoTarget; of pairs the number of pairs
  // Of preferences only: what is learned is which of two responses to a prompt is the better one.
  ResponsePairs pairs;
  std::vector<TokenRun> runs;  // all of its tokens; may be empty where nothing random depends on them
  // A context-parallel rank's part of a batch only, in place of segment_begin: what its queries see of each
  // piece of keys, its own first, then in the order in which they visit (KvExchange).
  std::vector<std::vector<AttentionSegment>> visits;
};

// What the queries of a batch see of its own keys, and behind it of those that visit. Memory of `visits` is
// reused.
void attention_visits(const Batch& batch, std::vector<std::vector<AttentionSegment>>& visits);

}  // namespace strata
