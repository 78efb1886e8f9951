// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace strata {

// The shape of a step: micro_batches of rows sequences of seq_len tokens each.
struct Geometry {
  int64_t rows = 1;
  int64_t seq_len = 1;
  int micro_batches = 1;

  int64_t tokens() const { return rows * seq_len; }  // of a micro-batch
};

}  // namespace strata
