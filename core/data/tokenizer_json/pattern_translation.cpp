// SPDX-License-Identifier: Apache-2.0
// From Oniguruma's (Ruby) dialect to PCRE2's. The two agree on what tokenizers use but for the classes below:
// PCRE2's \s counts U+180E, its \w leaves marks and connectors out.
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/data/tokenizer_json/regex.h"

namespace strata {
namespace {

// The property White_Space; what \w is in Oniguruma (doc/RE of its sources).
constexpr std::string_view kSpace =
    R"(\x{09}-\x{0D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

[[noreturn]] void refuse(std::string_view where, std::string_view pattern, std::string_view construct) {
  throw Error(Fault::data,
              {.what = "a regular expression uses something that cannot be kept exactly",
               .where = std::string(where),
               .found = fmt::format("{} in {}", construct, pattern),
               .expected = "classes, groups, look-ahead, quantifiers, \\p, \\s, \\S, \\w, \\W, \\d, \\r, \\n",
               .fix = "tokenize with the tokenizer's own program and give the token files to data.train"});
}

}  // namespace

std::string to_pcre2(std::string_view pattern, std::string_view where) {
  std::string out;
  int depth = 0;  // of nested [ ]
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's' || escaped == 'w') {
        const std::string_view set = escaped == 's' ? kSpace : kWord;
        out += depth ? std::string(set) : fmt::format("[{}]", set);
      } else if (escaped == 'S' || escaped == 'W') {
        if (depth) refuse(where, pattern, fmt::format("\\{} inside [ ]", escaped));
        out += fmt::format("[^{}]", escaped == 'S' ? kSpace : kWord);
      } else if (std::string_view("bBhHRXGKzZAQEkg").find(escaped) != std::string_view::npos) {
        refuse(where, pattern, fmt::format("\\{}", escaped));
      } else {
        out += '\\', out += escaped;
      }
      continue;
    }
    if (depth && c == '[' && pattern.substr(i, 2) != "[:") refuse(where, pattern, "a class inside a class");
    if (depth && pattern.substr(i, 2) == "&&") refuse(where, pattern, "&&");
    if (!depth && pattern.substr(i, 3) == "(?m") refuse(where, pattern, "(?m");
    if (!depth && pattern.substr(i, 3) == "(?<" && i + 3 < pattern.size() &&
        (pattern[i + 3] == '=' || pattern[i + 3] == '!'))
      refuse(where, pattern, "look-behind");
    if (c == '[') {
      ++depth;
      out += c;
      // A ] that stands first is a member of the class.
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += "\\", out += pattern[++i];
      continue;
    }
    if (c == ']' && depth) --depth;
    out += c;
  }
  return out;
}

}  // namespace strata
