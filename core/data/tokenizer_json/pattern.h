// SPDX-License-Identifier: Apache-2.0
// What a part of a tokenizer.json looks for: {"String": "..."} or {"Regex": "..."}.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/data/tokenizer_json/json_part.h"
#include "core/data/tokenizer_json/regex.h"

namespace strata {

class Pattern {
 public:
  explicit Pattern(JsonPart part);
  explicit Pattern(Regex regex, std::string source) : source_(std::move(source)), regex_(std::move(regex)) {}

  // Calls each(begin, end) for the matches, left to right.
  template <typename Each>
  void find(std::string_view text, Each&& each) const {
    if (regex_) {
      Regex::Finder finder(*regex_, text);
      for (Regex::Match match; finder.next(match);) each(match.begin, match.end);
      return;
    }
    for (size_t at = 0; (at = text.find(source_, at)) != text.npos; at += source_.size())
      each(at, at + source_.size());
  }
  bool is_regex() const { return regex_.has_value(); }
  const std::string& source() const { return source_; }  // as it is written in the file

 private:
  std::string source_;
  std::optional<Regex> regex_;
};

}  // namespace strata
