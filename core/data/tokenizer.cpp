// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/utf8.h"

namespace strata {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

constexpr TokenizerKind kKinds[] = {
    {"byte", "one token per byte and one for the end of a document: vocabulary 257", make_byte_tokenizer},
};

// `bytes` with everything that is not UTF-8 replaced: one U+FFFD for each longest prefix of a character (the
// practice the Unicode standard recommends in section 3.9).
std::string repaired(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    Utf8Checker checker;
    auto fault = checker.feed(bytes);
    if (!fault) fault = checker.finish();
    if (!fault) return text.append(bytes);
    text.append(bytes.substr(0, static_cast<size_t>(fault->offset))).append(kReplacement);
    bytes.remove_prefix(static_cast<size_t>(fault->offset + fault->length));
  }
  return text;
}

}  // namespace

std::string StreamDecoder::push(int32_t id) {
  tokenizer_.decode({&id, 1}, held_);
  const size_t tail = incomplete_utf8_tail(held_);
  std::string ready = repaired(std::string_view(held_).substr(0, held_.size() - tail));
  held_.erase(0, held_.size() - tail);
  return ready;
}

std::string StreamDecoder::finish() {
  std::string ready = repaired(held_);
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
  throw Error(Fault::usage, {.what = "there is no tokenizer of that name",
                             .where = "data.tokenizer",
                             .found = fmt::format("\"{}\"", name),
                             .expected = names,
                             .fix = fmt::format("data.tokenizer = \"{}\"", kKinds[0].name)});
}

}  // namespace strata
