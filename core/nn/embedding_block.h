// SPDX-License-Identifier: Apache-2.0
// The first block: token embedding, plus learned positions where a model has them.
#pragma once

#include "core/nn/block.h"
#include "core/nn/split.h"

namespace strata {

struct EmbeddingBlockSpec {
  int64_t vocab = 0, hidden = 0;
  int64_t padded_vocab = 0;  // rows of the table, which the parts share; rows from `vocab` on are zero
  int64_t positions = 0;     // rows of the learned position table; 0: none
  bool multiplied = false;   // the head multiplies with the table too (tied)
  float init_std = 0.02f;
  float position_init_std = 0.02f;
  Split split = {};
};

std::unique_ptr<Block> make_embedding_block(const EmbeddingBlockSpec& spec);

// Rows a vocabulary of `vocab` entries is padded to: a multiple of 64 on each of `parts`.
int64_t padded_vocab(int64_t vocab, int parts);

}  // namespace strata
