// SPDX-License-Identifier: Apache-2.0
// Unicode normalization forms and letter case, by utf8proc. utf8proc.cpp; without the library
// no_utf8proc.cpp, which refuses text that would need it.
#pragma once

#include <string>
#include <string_view>

namespace strata {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// Unicode Standard Annex 15. `text` must be UTF-8.
std::string normal_form(NormalForm form, std::string_view text);
// Each character's lower case (no context rules). `text` must be UTF-8.
std::string lower_case(std::string_view text);
// Without the characters of category M.
std::string without_marks(std::string_view text);
// Category L* or N*, or an underscore or mark: a word goes on over it (\w).
bool is_word_character(char32_t c);

// Error(environment) naming `where` in a build without utf8proc.
void require_unicode_tables(std::string_view where);

}  // namespace strata
