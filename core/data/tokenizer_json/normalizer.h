// SPDX-License-Identifier: Apache-2.0
// What is done to the whole text before it is split: Unicode forms, lower case, prefixes, replacements.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/data/tokenizer_json/json_part.h"

namespace strata {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual std::string apply(std::string_view text) const = 0;  // UTF-8 to UTF-8
  // Text may be cut between a line feed and an ASCII letter and the parts normalized apart.
  virtual bool keeps_line_starts() const = 0;
};

// By the declared type. Error(data) for one that is not known here.
std::unique_ptr<Normalizer> make_normalizer(JsonPart part);

}  // namespace strata
