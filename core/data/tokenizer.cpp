// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/sentencepiece_tokenizer.h"
#include "core/data/tokenizer_json/json_tokenizer.h"
#include "core/data/utf8.h"

namespace strata {
namespace {

constexpr TokenizerKind kKinds[] = {
    {"byte", "one token per byte and one for the end of a document: vocabulary 257", make_byte_tokenizer},
};

}  // namespace

std::string StreamDecoder::push(int32_t id) {
  std::string next;
  tokenizer_.decode_next({&id, 1}, next);
  if (begun_)
    held_ += next;
  else
    tokenizer_.decode({&id, 1}, held_);
  begun_ = begun_ || !next.empty();  // special tokens begin no text
  const size_t tail = incomplete_utf8_tail(held_);
  std::string ready = repaired_utf8(std::string_view(held_).substr(0, held_.size() - tail));
  held_.erase(0, held_.size() - tail);
  return ready;
}

std::string StreamDecoder::finish() {
  std::string ready = repaired_utf8(held_);
  held_.clear();
  return ready;
}

std::span<const TokenizerKind> tokenizer_kinds() { return kKinds; }

std::unique_ptr<Tokenizer> make_tokenizer(std::string_view name) {
  std::string names;
  for (const TokenizerKind& kind : kKinds) {
    if (kind.name == name) return kind.make();
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", kind.name);
  }
  if (name.ends_with(".json") || std::filesystem::is_directory(name))
    return std::make_unique<JsonTokenizer>(std::filesystem::path(name));
  if (name.ends_with(".model")) return make_sentencepiece_tokenizer(std::filesystem::path(name));
  throw Error(Fault::usage,
              {.what = "there is no tokenizer of that name",
               .where = "data.tokenizer",
               .found = fmt::format("\"{}\"", name),
               .expected = names + ", a tokenizer.json, a folder that holds one or a SentencePiece .model",
               .fix = fmt::format("data.tokenizer = \"{}\"", kKinds[0].name)});
}

}  // namespace strata
