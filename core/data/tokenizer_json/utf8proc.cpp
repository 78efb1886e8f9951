// SPDX-License-Identifier: Apache-2.0
// See unicode.h.
#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "core/base/check.h"
#include "core/data/code_point.h"
#include "core/data/tokenizer_json/unicode.h"

namespace strata {
namespace {

struct Free {
  void operator()(utf8proc_uint8_t* text) const { std::free(text); }
};

utf8proc_option_t options_of(NormalForm form) {
  switch (form) {
    case NormalForm::nfc:
      return UTF8PROC_COMPOSE;
    case NormalForm::nfd:
      return UTF8PROC_DECOMPOSE;
    case NormalForm::nfkc:
      return static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
    case NormalForm::nfkd:
      break;
  }
  return static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
}

// Text that every form leaves as it is: below U+00A0 nothing decomposes, below U+0300 nothing composes.
bool is_normal_already(NormalForm form, std::string_view text) {
  const auto limit =
      static_cast<unsigned char>(form == NormalForm::nfc ? 0xCC : 0x80);  // lead byte of U+0300
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= limit) return false;
  return true;
}

}  // namespace

std::string normal_form(NormalForm form, std::string_view text) {
  if (is_normal_already(form, text)) return std::string(text);
  utf8proc_uint8_t* result = nullptr;
  const auto options = static_cast<utf8proc_option_t>(options_of(form) | UTF8PROC_STABLE);
  const auto bytes = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                  static_cast<utf8proc_ssize_t>(text.size()), &result, options);
  const std::unique_ptr<utf8proc_uint8_t, Free> owner(result);
  check(bytes >= 0, "[normal_form] {}", utf8proc_errmsg(bytes));
  return {reinterpret_cast<const char*>(result), static_cast<size_t>(bytes)};
}

std::string lower_case(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    text.remove_prefix(c.bytes);
    if (c.value == 0x130) {  // the one letter whose full lower case is two characters (SpecialCasing.txt)
      lower += "i\xCC\x87";
      continue;
    }
    append_code_point(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))), lower);
  }
  return lower;
}

std::string without_marks(std::string_view text) {
  std::string kept;
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c.value));
    if (category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC &&
        category != UTF8PROC_CATEGORY_ME)
      kept += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
  }
  return kept;
}

bool is_word_character(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return (c >= 0x24B6 && c <= 0x24E9) || c == 0x200C || c == 0x200D;  // circled letters, joiners
  }
}

void require_unicode_tables(std::string_view) {}

}  // namespace strata
