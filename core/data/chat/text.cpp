// SPDX-License-Identifier: Apache-2.0
#include "core/data/chat/text.h"

#include <algorithm>

#include "core/data/code_point.h"

namespace strata::chat {
namespace {

char32_t lower_of(char32_t c) {
  if ((c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7)) return c + 0x20;
  if ((c >= 0x391 && c <= 0x3AB && c != 0x3A2) || (c >= 0x410 && c <= 0x42F)) return c + 0x20;
  return c >= 0x400 && c <= 0x40F ? c + 0x50 : c;
}

char32_t upper_of(char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 0xE0 && c <= 0xFE && c != 0xF7)) return c - 0x20;
  if ((c >= 0x3B1 && c <= 0x3CB && c != 0x3C2) || (c >= 0x430 && c <= 0x44F)) return c - 0x20;
  return c >= 0x450 && c <= 0x45F ? c - 0x50 : c;
}

template <typename Change>
std::string changed(std::string_view s, Change change) {
  std::string result;
  while (!s.empty()) {
    const CodePoint c = first_code_point(s);
    append_code_point(change(c.value), result);
    s.remove_prefix(std::min(c.bytes, s.size()));
  }
  return result;
}

}  // namespace

std::string strip(std::string_view s, std::string_view chars, bool left, bool right) {
  const auto goes = [&](CodePoint c, size_t at) {
    if (chars.empty()) return is_white_space(c.value) || (c.value >= 0x1C && c.value <= 0x1F);  // str.isspace
    return chars.find(s.substr(at, c.bytes)) != chars.npos;
  };
  while (left && !s.empty() && goes(first_code_point(s), 0)) s.remove_prefix(first_code_point(s).bytes);
  while (right && !s.empty() && goes(last_code_point(s), s.size() - last_code_point(s).bytes))
    s.remove_suffix(last_code_point(s).bytes);
  return std::string(s);
}

List split(std::string_view s, std::string_view separator, int64_t limit, bool from_right) {
  List parts;
  size_t at = 0;
  while (limit != 0 && (at = from_right ? s.rfind(separator) : s.find(separator)) != s.npos) {
    const std::string_view head = s.substr(0, at), tail = s.substr(at + separator.size());
    parts.emplace_back(std::string(from_right ? tail : head));
    s = from_right ? head : tail;
    --limit;
  }
  parts.emplace_back(std::string(s));
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

List split_at_spaces(std::string_view s) {
  List words;
  std::string word;
  while (!s.empty()) {
    const CodePoint c = first_code_point(s);
    if (!is_white_space(c.value))
      word += s.substr(0, c.bytes);
    else if (!word.empty())
      words.emplace_back(std::exchange(word, {}));
    s.remove_prefix(std::min(c.bytes, s.size()));
  }
  if (!word.empty()) words.emplace_back(word);
  return words;
}

std::string replace(std::string_view s, std::string_view from, std::string_view to, int64_t limit) {
  if (from.empty()) return std::string(s);
  std::string result;
  for (size_t at; limit != 0 && (at = s.find(from)) != s.npos; --limit) {
    result.append(s.substr(0, at)).append(to);
    s.remove_prefix(at + from.size());
  }
  return result.append(s);
}

std::string upper(std::string_view s) { return changed(s, upper_of); }
std::string lower(std::string_view s) { return changed(s, lower_of); }

std::string title(std::string_view s) {
  bool in_word = false;
  return changed(s, [&](char32_t c) {
    const char32_t result = in_word ? lower_of(c) : upper_of(c);
    in_word = lower_of(c) != c || upper_of(c) != c;
    return result;
  });
}

std::string capitalize(std::string_view s) {
  bool first = true;
  return changed(s, [&](char32_t c) { return std::exchange(first, false) ? upper_of(c) : lower_of(c); });
}

}  // namespace strata::chat
