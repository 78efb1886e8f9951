// SPDX-License-Identifier: Apache-2.0
// Regex by PCRE2: UTF mode, Unicode properties, JIT. See regex.h.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/code_point.h"
#include "core/data/tokenizer_json/regex.h"

namespace strata {
namespace {

std::string message_of(int code) {
  unsigned char text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

PCRE2_SPTR bytes_of(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Regex::Compiled {
  std::string where, pattern;
  pcre2_code* code = nullptr;
  bool jit = false;
  ~Compiled() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern, std::string_view where) : compiled_(std::make_unique<Compiled>()) {
  compiled_->where = where;
  compiled_->pattern = to_pcre2(pattern, where);
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code = pcre2_compile(bytes_of(compiled_->pattern), compiled_->pattern.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, context);
  pcre2_compile_context_free(context);
  if (!compiled_->code)
    throw Error(Fault::data, {.what = "a regular expression cannot be compiled",
                              .where = compiled_->where,
                              .found = fmt::format("{} at {} of {}", message_of(error), offset, pattern),
                              .expected = "a pattern that PCRE2 understands"});
  compiled_->jit = pcre2_jit_compile(compiled_->code, PCRE2_JIT_COMPLETE) == 0;
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

Regex::Finder::Finder(const Regex& regex, std::string_view text)
    : regex_(regex), text_(text), match_data_(pcre2_match_data_create(1, nullptr)) {
  check(match_data_ != nullptr, "[regex] no memory for a match");
}

Regex::Finder::~Finder() { pcre2_match_data_free(static_cast<pcre2_match_data*>(match_data_)); }

bool Regex::Finder::next(Match& match) {
  if (from_ > text_.size()) return false;
  const Compiled& compiled = *regex_.compiled_;
  auto* data = static_cast<pcre2_match_data*>(match_data_);
  int found = PCRE2_ERROR_JIT_STACKLIMIT;
  if (compiled.jit)
    found = pcre2_jit_match(compiled.code, bytes_of(text_), text_.size(), from_, 0, data, nullptr);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT)  // the interpreter keeps its stack on the heap
    found = pcre2_match(compiled.code, bytes_of(text_), text_.size(), from_,
                        PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, nullptr);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0)
    throw Error(Fault::data, {.what = "a regular expression could not be run over the text",
                              .where = compiled.where,
                              .found = fmt::format("{} with {}", message_of(found), compiled.pattern)});
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
  match = {offsets[0], offsets[1]};
  from_ = match.end;
  if (match.end == match.begin)  // an empty match: look on from the next character
    from_ += match.end < text_.size() ? first_code_point(text_.substr(match.end)).bytes : 1;
  return true;
}

}  // namespace strata
