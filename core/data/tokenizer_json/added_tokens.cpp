// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/added_tokens.h"

#include <algorithm>

#include "core/data/code_point.h"
#include "core/data/tokenizer_json/unicode.h"

namespace strata {

AddedToken parse_added_token(JsonPart part) {
  AddedToken token;
  token.content = part.text("content");
  const int64_t id = part.number("id");
  if (id < 0 || id > (1 << 28)) part.refuse("the id of an added token is none", std::to_string(id), "from 0");
  token.id = static_cast<int32_t>(id);
  token.special = part.flag("special", false);
  token.normalized = part.flag("normalized", !token.special);
  token.single_word = part.flag("single_word", false);
  token.lstrip = part.flag("lstrip", false);
  token.rstrip = part.flag("rstrip", false);
  if (token.single_word) require_unicode_tables(part.place());
  part.done();
  return token;
}

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& contents)
    : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (contents[i].empty()) continue;
    begins_[static_cast<unsigned char>(contents[i][0])] = true;
    size_t node = 0;
    for (const char c : contents[i]) {
      const auto [edge, is_new] = trie_[node].next.try_emplace(static_cast<unsigned char>(c), trie_.size());
      node = edge->second;
      if (is_new) trie_.emplace_back();
    }
    trie_[node].token = static_cast<int64_t>(i);
  }
}

int64_t AddedTokenFinder::longest(std::string_view text, size_t& bytes) const {
  int64_t found = -1;
  size_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto edge = trie_[node].next.find(static_cast<unsigned char>(text[i]));
    if (edge == trie_[node].next.end()) break;
    node = edge->second;
    if (trie_[node].token >= 0) found = trie_[node].token, bytes = i + 1;
  }
  return found;
}

void AddedTokenFinder::split(std::string_view text, const Sink& sink) const {
  size_t done = 0;  // everything before it went to the sink
  size_t at = 0;
  while (true) {
    while (at < text.size() && !begins_[static_cast<unsigned char>(text[at])]) ++at;
    if (at >= text.size()) break;
    size_t bytes = 0;
    const int64_t index = longest(text.substr(at), bytes);
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    size_t begin = at, end = at + bytes;
    at = end;  // a token that is turned down below is not looked into either
    if (token.single_word) {
      const bool after_word = begin > 0 && is_word_character(last_code_point(text.substr(0, begin)).value);
      const bool before_word =
          end < text.size() && is_word_character(first_code_point(text.substr(end)).value);
      if (after_word || before_word) continue;
    }
    if (token.lstrip)
      while (begin > done) {
        const CodePoint c = last_code_point(text.substr(0, begin));
        if (!is_white_space(c.value)) break;
        begin -= c.bytes;
      }
    if (token.rstrip)
      while (end < text.size()) {
        const CodePoint c = first_code_point(text.substr(end));
        if (!is_white_space(c.value)) break;
        end += c.bytes;
      }
    if (done < begin) sink.text(text.substr(done, begin - done), done);
    sink.token(token.id);
    done = end;
    at = std::max(at, end);
  }
  if (done < text.size()) sink.text(text.substr(done), done);
}

}  // namespace strata
