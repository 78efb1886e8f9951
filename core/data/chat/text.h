// SPDX-License-Identifier: Apache-2.0
// What Python does to text, for the filters and methods of templates. Letter case changes ASCII, Latin-1,
// Greek and Cyrillic letters, which templates' own words never leave.
#pragma once

#include <string>
#include <string_view>

#include "core/data/chat/value.h"

namespace strata::chat {

// chars empty: white space.
std::string strip(std::string_view s, std::string_view chars, bool left, bool right);
List split(std::string_view s, std::string_view separator, int64_t limit,
           bool from_right);  // limit < 0: none
List split_at_spaces(std::string_view s);
std::string replace(std::string_view s, std::string_view from, std::string_view to,
                    int64_t limit);  // limit < 0: none
std::string upper(std::string_view s);
std::string lower(std::string_view s);
std::string title(std::string_view s);
std::string capitalize(std::string_view s);

}  // namespace strata::chat
