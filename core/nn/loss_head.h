// SPDX-License-Identifier: Apache-2.0
// The last block: final norm, vocabulary matrix, softmax cross-entropy. Tokens go through in chunks, forward
// and backward together, so that at most one chunk of logits exists. With preferences they go through twice:
// a token's gradient depends on all of its response.
#pragma once

#include "core/nn/block.h"
#include "core/nn/layers.h"
#include "core/ops/preference.h"

namespace strata {

struct LossHeadSpec {
  int64_t vocab = 0, padded_vocab = 0, hidden = 0;  // of the whole; the parts share the padded rows
  NormKind norm = NormKind::rms;
  float norm_eps = 1e-5f;
  bool twin = false;  // the matrix is a second copy of the embedding table, with its name and role
  bool tied = false;  // the matrix is the embedding table, handed in behind the head's own parameters
  float init_std = 0.02f;
  PreferenceSpec preference = {};           // the loss of batches of pairs; others have cross-entropy
  int64_t chunk_bytes = int64_t{64} << 20;  // of logits at most, but always a few rows
  Split split = {};
};

std::unique_ptr<HeadBlock> make_loss_head(const LossHeadSpec& spec);

}  // namespace strata
