// SPDX-License-Identifier: Apache-2.0
// Tokens without meaning, for measurements.
#pragma once

#include "core/base/philox.h"
#include "core/nn/batch.h"

namespace strata {

// Every row one document, every token with a target.
inline Batch random_batch(int64_t rows, int64_t seq_len, int64_t vocab) {
  const int64_t n = rows * seq_len;
  Batch batch{.rows = rows, .seq_len = seq_len, .num_targets = n, .runs = {{.count = n}}};
  for (int64_t i = 0; i < n; ++i) {
    const PhiloxBlock numbers = random_block({.seed = 1}, static_cast<uint64_t>(i));
    batch.tokens.push_back(static_cast<int32_t>(numbers[0] % static_cast<uint32_t>(vocab)));
    batch.targets.push_back(static_cast<int32_t>(numbers[1] % static_cast<uint32_t>(vocab)));
    batch.positions.push_back(static_cast<int32_t>(i % seq_len));
    if (i % seq_len == 0) batch.segment_begin.push_back(static_cast<int32_t>(i));
  }
  batch.segment_begin.push_back(static_cast<int32_t>(n));
  return batch;
}

}  // namespace strata
