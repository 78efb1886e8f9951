// SPDX-License-Identifier: Apache-2.0
// The first block: token embedding, plus learned positions where a model has them.
#pragma once

#include "core/nn/block.h"

namespace strata {

struct EmbeddingBlockSpec {
  int64_t vocab = 0, hidden = 0;
  int64_t padded_vocab = 0;  // rows of the physical table; rows from `vocab` on are zero
  int64_t positions = 0;     // rows of the learned position table; 0: none
  bool multiplied = false;   // the head multiplies with the table too (tied)
  float init_std = 0.02f;
  float position_init_std = 0.02f;
};

std::unique_ptr<Block> make_embedding_block(const EmbeddingBlockSpec& spec);

// Rows a vocabulary of `vocab` entries is padded to.
int64_t padded_vocab(int64_t vocab);

}  // namespace strata
