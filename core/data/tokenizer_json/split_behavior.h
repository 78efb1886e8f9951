// SPDX-License-Identifier: Apache-2.0
// What becomes of the matches when text is split at them (SplitDelimiterBehavior of Hugging Face tokenizers).
#pragma once

#include <string_view>

#include "core/data/tokenizer_json/json_part.h"
#include "core/data/tokenizer_json/pattern.h"
#include "core/data/tokenizer_json/pre_tokenizer.h"

namespace strata {

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

SplitBehavior parse_split_behavior(const JsonPart& part, std::string_view name);

// The pieces of `text`. invert: what lies between the matches counts as the match.
void split_at(const Pattern& pattern, SplitBehavior behavior, bool invert, std::string_view text,
              bool at_start, const PieceSink& sink);

}  // namespace strata
