// SPDX-License-Identifier: Apache-2.0
// Tokens that are found in the text before anything else: special ones and words that were added to a
// vocabulary. Those that are not "normalized" are looked for in the raw text, the others in normalized text.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/tokenizer_json/json_part.h"

namespace strata {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;  // not shown when text is decoded
  bool normalized = true;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the white space to its left with it
  bool rstrip = false;       // and to its right
};

// One entry of "added_tokens".
AddedToken parse_added_token(JsonPart part);

// Finds a set of tokens in text: leftmost first, of those that begin at one place the longest.
class AddedTokenFinder {
 public:
  // `contents`: what to look for, in the order of `tokens` (a normalized token is looked for as the
  // normalizer writes it). Empty contents are never found.
  AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& contents);

  // In order: the stretches without a token, with their offset, and the ids. Stretches are not empty.
  struct Sink {
    std::function<void(std::string_view text, size_t offset)> text;
    std::function<void(int32_t id)> token;
  };
  void split(std::string_view text, const Sink& sink) const;

 private:
  struct Node {
    std::map<unsigned char, size_t> next;
    int64_t token = -1;
  };
  // The longest token that begins `text`, by index, or -1.
  int64_t longest(std::string_view text, size_t& bytes) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> trie_{1};
  std::array<bool, 256> begins_{};
};

}  // namespace strata
