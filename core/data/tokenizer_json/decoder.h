// SPDX-License-Identifier: Apache-2.0
// From the spellings of tokens back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/data/tokenizer_json/json_part.h"

namespace strata {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // Replaces the tokens by their text; the result, joined, is the text. It may hold parts of characters:
  // bytes are given as they are, where Hugging Face puts U+FFFD for those that are not UTF-8.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

// By the declared type. Error(data) for one that is not known here.
std::unique_ptr<Decoder> make_decoder(JsonPart part);

}  // namespace strata
