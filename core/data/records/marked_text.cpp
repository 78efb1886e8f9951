// SPDX-License-Identifier: Apache-2.0
#include "core/data/records/marked_text.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {
namespace {

// How many of the ids of a text lie before a byte of it. Bytes must ascend from call to call.
class TokenFinder {
 public:
  TokenFinder(const Tokenizer& tokenizer, std::string_view text, std::span<const int32_t> ids)
      : tokenizer_(tokenizer), text_(text), ids_(ids) {}

  size_t tokens_before(size_t byte) {
    if (byte == text_.size()) return ids_.size();
    // What is safely cut off is not encoded again for the next byte: the time stays linear in the text.
    const std::string_view open = text_.substr(byte_, byte - byte_);
    if (const size_t safe = tokenizer_.safe_prefix(open); safe > 0) {
      token_ += encode(open.substr(0, safe)).size();
      byte_ += safe;
    }
    const auto& begun = encode(text_.substr(byte_, byte - byte_));
    const auto rest = ids_.subspan(std::min(token_, ids_.size()));
    return token_ +
           static_cast<size_t>(std::mismatch(begun.begin(), begun.end(), rest.begin(), rest.end()).first -
                               begun.begin());
  }

 private:
  const std::vector<int32_t>& encode(std::string_view text) {
    scratch_.clear();
    tokenizer_.encode(text, scratch_);
    return scratch_;
  }

  const Tokenizer& tokenizer_;
  std::string_view text_;
  std::span<const int32_t> ids_;
  size_t byte_ = 0, token_ = 0;  // safely behind us
  std::vector<int32_t> scratch_;
};

}  // namespace

void MarkedTokens::add(int32_t id, bool is_learned) {
  ids.push_back(id);
  learned.push_back(is_learned);
}

int64_t MarkedTokens::num_learned() const { return std::count(learned.begin(), learned.end(), 1); }

void encode_marked(const Tokenizer& tokenizer, std::string_view text, std::span<const chat::Span> learned,
                   MarkedTokens& out) {
  const size_t first = out.ids.size();
  tokenizer.encode(text, out.ids);
  out.learned.resize(out.ids.size(), 0);
  TokenFinder finder(tokenizer, text, std::span(out.ids).subspan(first));
  size_t previous = 0;
  for (const chat::Span& span : learned) {
    check(span.begin >= previous && span.begin <= span.end && span.end <= text.size(),
          "[marked_text] bytes [{}, {}) of {}, after {}", span.begin, span.end, text.size(), previous);
    previous = span.end;
    const size_t begin = finder.tokens_before(span.begin), end = finder.tokens_before(span.end);
    for (size_t i = begin; i < end; ++i) out.learned[first + i] = 1;
  }
}

}  // namespace strata
