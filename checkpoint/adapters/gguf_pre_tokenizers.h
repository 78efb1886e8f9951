// SPDX-License-Identifier: Apache-2.0
// How the byte-level BPE tokenizers that llama.cpp knows by a name (tokenizer.ggml.pre) cut text into words:
// each as its own tokenizer.json declares it. Source: llama.cpp, src/llama-vocab.cpp.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

namespace strata {

struct GgufPreTokenizer {
  std::string_view name;
  std::string_view pattern;  // of words; empty: GPT-2's, which ByteLevel knows
  bool single_digits = false, nfc = false, ignore_merges = false, begins = false;
};

std::span<const GgufPreTokenizer> gguf_pre_tokenizers();

// The parts of a tokenizer.json.
nlohmann::json byte_level_part(bool with_pattern);
nlohmann::json pre_tokenizer_part(const GgufPreTokenizer& kind);

// The row that a tokenizer.json is: its normalizer and pre-tokenizer say so. Null: none.
const GgufPreTokenizer* gguf_pre_tokenizer_of(const nlohmann::json& tokenizer);

}  // namespace strata
