// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_pre_tokenizers.h"

namespace strata {
namespace {

using nlohmann::json;

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr GgufPreTokenizer kKinds[] = {
    {.name = "gpt-2", .pattern = ""},
    {.name = "smollm", .pattern = "", .single_digits = true},
    {.name = "llama-bpe", .pattern = kLlama3, .ignore_merges = true, .begins = true},
    {.name = "qwen2", .pattern = kQwen2, .nfc = true},
};

// What matters of a part: flags that say nothing about where text is cut are left out.
void collect(const json& part, GgufPreTokenizer& found, std::string& pattern, bool& known, bool& byte_level) {
  const std::string type = part.is_object() ? part.value("type", "") : "";
  if (type == "Sequence") {
    for (const json& inner : part.value("pretokenizers", json::array()))
      collect(inner, found, pattern, known, byte_level);
  } else if (type == "Digits") {
    known = known && part.value("individual_digits", false);
    found.single_digits = true;
  } else if (type == "Split") {
    known =
        known && pattern.empty() && part.value("behavior", "") == "Isolated" && !part.value("invert", false);
    const json spelled = part.value("pattern", json::object());
    known = known && spelled.contains("Regex") && spelled["Regex"].is_string();
    if (known) pattern = spelled["Regex"].get<std::string>();
  } else if (type == "ByteLevel") {
    // With its own pattern, or behind another that has cut already.
    known = known && !byte_level && part.value("use_regex", true) == pattern.empty() &&
            !part.value("add_prefix_space", true);
    byte_level = true;
  } else {
    known = false;
  }
}

}  // namespace

std::span<const GgufPreTokenizer> gguf_pre_tokenizers() { return kKinds; }

json byte_level_part(bool with_pattern) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", with_pattern}};
}

json pre_tokenizer_part(const GgufPreTokenizer& kind) {
  json parts = json::array();
  if (kind.single_digits) parts.push_back({{"type", "Digits"}, {"individual_digits", true}});
  if (!kind.pattern.empty())
    parts.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", kind.pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  parts.push_back(byte_level_part(kind.pattern.empty()));
  if (parts.size() == 1) return parts[0];
  return {{"type", "Sequence"}, {"pretokenizers", std::move(parts)}};
}

const GgufPreTokenizer* gguf_pre_tokenizer_of(const json& tokenizer) {
  const json normalizer = tokenizer.value("normalizer", json());
  GgufPreTokenizer found{};
  std::string pattern;
  bool known = true, byte_level = false;
  if (!normalizer.is_null()) {
    found.nfc = normalizer.is_object() && normalizer.value("type", "") == "NFC";
    if (!found.nfc) return nullptr;
  }
  collect(tokenizer.value("pre_tokenizer", json()), found, pattern, known, byte_level);
  if (!known || !byte_level) return nullptr;
  for (const GgufPreTokenizer& kind : kKinds)
    if (kind.pattern == pattern && kind.single_digits == found.single_digits && kind.nfc == found.nfc)
      return &kind;
  return nullptr;
}

}  // namespace strata
