// SPDX-License-Identifier: Apache-2.0
// The special tokens that a tokenizer puts around a text ("<s>" in front, "</s>" behind).
#pragma once

#include <cstdint>
#include <vector>

#include "core/data/tokenizer_json/json_part.h"

namespace strata {

struct SurroundingTokens {
  std::vector<int32_t> before;
  std::vector<int32_t> after;
};

// Of the part "post_processor": TemplateProcessing (its template for one text), ByteLevel (nothing),
// Sequence. Error(data) for one that is not known here.
SurroundingTokens parse_post_processor(JsonPart part);

}  // namespace strata
