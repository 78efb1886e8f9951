// SPDX-License-Identifier: Apache-2.0
// Regex in a build without PCRE2: every pattern is refused.
#include "core/base/error.h"
#include "core/data/tokenizer_json/regex.h"

namespace strata {

struct Regex::Compiled {};

Regex::Regex(std::string_view pattern, std::string_view where) {
  throw Error(Fault::environment,
              {.what = "this program was built without PCRE2, which splits text by regular expressions",
               .where = std::string(where),
               .found = std::string(pattern),
               .expected = "a build with libpcre2",
               .fix = "apt-get install libpcre2-dev, then configure and build again"});
}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

Regex::Finder::Finder(const Regex& regex, std::string_view text) : regex_(regex), text_(text) {}
Regex::Finder::~Finder() = default;
bool Regex::Finder::next(Match&) { return false; }

}  // namespace strata
