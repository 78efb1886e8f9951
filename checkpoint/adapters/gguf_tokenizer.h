// SPDX-License-Identifier: Apache-2.0
// The tokenizer inside a GGUF file, as the files that Hugging Face models have: tokenizer.json or
// tokenizer.model, and tokenizer_config.json.
#pragma once

#include <optional>

#include "checkpoint/adapters/gguf_source.h"

namespace strata {

struct GgufTokenizer {
  std::vector<Asset> assets;  // none when it cannot be written so
  std::string note;           // why, a sentence
};

// Byte-level BPE (tokenizer.ggml.model = gpt2) with the pre-tokenizers of GPT-2, SmolLM, Llama 3 and Qwen2,
// and SentencePiece (llama). Throws Error(model) when the vocabulary is damaged.
GgufTokenizer make_gguf_tokenizer(const GgufSource& source);

// Ids that a configuration names: "bos", "eos", "padding", "unknown".
std::optional<int64_t> gguf_token_id(const GgufSource& source, const std::string& which);

}  // namespace strata
