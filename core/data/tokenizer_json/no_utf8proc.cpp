// SPDX-License-Identifier: Apache-2.0
// Unicode in a build without utf8proc: parts that need its tables are refused when the tokenizer is read.
#include "core/base/error.h"
#include "core/data/tokenizer_json/unicode.h"

namespace strata {

void require_unicode_tables(std::string_view where) {
  throw Error(Fault::environment, {.what = "this program was built without utf8proc, which normalizes text",
                                   .where = std::string(where),
                                   .expected = "a build with libutf8proc",
                                   .fix = "apt-get install libutf8proc-dev, then configure and build again"});
}

std::string normal_form(NormalForm, std::string_view text) {
  require_unicode_tables("normal_form");
  return std::string(text);
}
std::string lower_case(std::string_view text) { return normal_form(NormalForm::nfc, text); }
std::string without_marks(std::string_view text) { return normal_form(NormalForm::nfc, text); }
bool is_word_character(char32_t) {
  require_unicode_tables("is_word_character");
  return false;
}

}  // namespace strata
