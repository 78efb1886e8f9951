// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/metaspace.h"

#include <fmt/format.h>

namespace strata {

Metaspace::Metaspace(JsonPart& part) {
  mark_ = part.text("replacement", "\xE2\x96\x81");
  if (mark_.empty()) part.refuse("the mark of a space is empty", "\"\"", "a character");
  // Files of before 2023 say add_prefix_space; later ones may say both.
  const bool prefix = part.flag("add_prefix_space", true);
  const std::string scheme = part.text("prepend_scheme", prefix ? "always" : "never");
  if (scheme == "always")
    prepend_ = Prepend::always;
  else if (scheme == "first")
    prepend_ = Prepend::first;
  else if (scheme == "never")
    prepend_ = Prepend::never;
  else
    part.refuse("a prepend scheme is not known", fmt::format("\"{}\"", scheme), "always, first, never");
  part.ignore("str_rep");  // the replacement once more
  split_ = part.flag("split", true);
}

void Metaspace::split(std::string_view text, bool at_start, const PieceSink& sink) const {
  std::string marked;
  marked.reserve(text.size() + text.size() / 2);
  for (const char c : text)
    if (c == ' ')
      marked += mark_;
    else
      marked += c;
  const bool prefix = prepend_ == Prepend::always || (prepend_ == Prepend::first && at_start);
  if (prefix && !marked.starts_with(mark_)) marked.insert(0, mark_);
  if (!split_) return sink(marked, at_start);
  std::string_view rest = marked;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(mark_, 1), rest.size());
    sink(rest.substr(0, end), at_start && rest.data() == marked.data());
    rest.remove_prefix(end);
  }
}

std::string Metaspace::decode(std::string_view token, bool first) const {
  std::string text;
  while (!token.empty()) {
    if (token.starts_with(mark_)) {
      if (!first || prepend_ == Prepend::never) text += ' ';
      token.remove_prefix(mark_.size());
    } else {
      text += token.front();
      token.remove_prefix(1);
    }
  }
  return text;
}

}  // namespace strata
