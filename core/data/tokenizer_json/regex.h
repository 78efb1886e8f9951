// SPDX-License-Identifier: Apache-2.0
// The regular expressions of a tokenizer.json, which were written for Oniguruma, run by PCRE2 with its JIT
// compiler. What PCRE2 would read differently is translated (\s, \w, line anchors) or refused.
// pcre2.cpp; without the library no_pcre2.cpp, which refuses every pattern.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace strata {

class Regex {
 public:
  // `where` names the part of the file, for errors. Error(data) for a pattern that is not understood,
  // Error(environment) in a build without PCRE2.
  Regex(std::string_view pattern, std::string_view where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  struct Match {
    size_t begin = 0;
    size_t end = 0;
  };

  // Finds the matches of one text, left to right, none overlapping. The regex and the text must outlive it.
  class Finder {
   public:
    Finder(const Regex& regex, std::string_view text);  // text must be UTF-8
    ~Finder();
    Finder(const Finder&) = delete;
    Finder& operator=(const Finder&) = delete;
    bool next(Match& match);  // false: there is none any more. Error(data) when the engine gives up

   private:
    const Regex& regex_;
    std::string_view text_;
    size_t from_ = 0;
    void* match_data_ = nullptr;
  };

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

// `pattern` in PCRE2's spelling; Error(data) naming what has none.
std::string to_pcre2(std::string_view pattern, std::string_view where);

}  // namespace strata
