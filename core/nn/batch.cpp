// SPDX-License-Identifier: Apache-2.0
#include "core/nn/batch.h"

namespace strata {

void attention_visits(const Batch& batch, std::vector<std::vector<AttentionSegment>>& visits) {
  if (!batch.visits.empty()) {
    visits = batch.visits;
    return;
  }
  visits.resize(1);
  visits[0].clear();
  for (size_t s = 0; s + 1 < batch.segment_begin.size(); ++s) {
    const int32_t begin = batch.segment_begin[s], count = batch.segment_begin[s + 1] - begin;
    visits[0].push_back({.q_begin = begin, .q_count = count, .k_begin = begin, .k_count = count});
  }
}

}  // namespace strata
