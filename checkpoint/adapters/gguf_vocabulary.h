// SPDX-License-Identifier: Apache-2.0
// The tokenizer beside a model, as a GGUF file embeds it: byte-level BPE of a tokenizer.json, or the pieces
// of a SentencePiece tokenizer.model.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/adapters/gguf_values.h"
#include "checkpoint/logical.h"

namespace strata {

// Adds the vocabulary that `assets` hold (tokenizer.json, tokenizer.model, tokenizer_config.json,
// config.json), filled up to `vocab` entries. Returns what a reader should know, a sentence; empty when all
// is well. Nothing is added for a tokenizer of another kind. Throws Error(model) when a file is damaged or
// has more than `vocab` entries.
std::string embed_gguf_vocabulary(const std::vector<Asset>& assets, int64_t vocab, GgufValues& values);

}  // namespace strata
