// SPDX-License-Identifier: Apache-2.0
// Reading the text form word by word: numbers, name=number, and names of enumerations.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/program/value.h"

namespace strata::words {

inline std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t at = text.find_first_not_of(" \t\r"); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(" \t\r", at), text.size());
    out.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(" \t\r", end);
  }
  return out;
}

[[noreturn]] inline void refuse(std::string_view line, std::string_view word, std::string_view expected) {
  throw Error(Fault::usage, {.what = "this is not a line of a program",
                             .where = std::string(line),
                             .found = word.empty() ? "the end of the line" : fmt::format("\"{}\"", word),
                             .expected = std::string(expected)});
}

template <typename Int>
std::optional<Int> number(std::string_view word) {
  Int value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

// The number behind "name=", if the word has that form.
template <typename Int>
std::optional<Int> field(std::string_view word, std::string_view name) {
  if (word.size() <= name.size() || !word.starts_with(name) || word[name.size()] != '=') return std::nullopt;
  return number<Int>(word.substr(name.size() + 1));
}

// The enumerator of that name, out of the first `count`.
template <typename Enum>
std::optional<Enum> enumerator(std::string_view word, int count) {
  for (int i = 0; i < count; ++i)
    if (name(static_cast<Enum>(i)) == word) return static_cast<Enum>(i);
  return std::nullopt;
}

// A value: class, then block, mb=, tier=, level= as far as they differ from the default.
Value value(std::string_view line, const std::vector<std::string_view>& words, size_t first);

}  // namespace strata::words
