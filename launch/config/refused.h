// SPDX-License-Identifier: Apache-2.0
// What Strata knows but this version does not do, and what other trainers spell in a way that has no single
// key here. Such input is refused with the reason, never ignored and never called "unknown".
#pragma once

#include <optional>
#include <string_view>

namespace strata {

struct RefusedKey {
  std::string_view name;   // "section.*", "section.key", or a name found anywhere
  std::string_view value;  // refused value of a key that exists; empty: the key as such
  std::string_view why;    // a sentence
  std::string_view fix;
};

// The row for a key, by its path or, at any place of the file, by its bare name. Null when there is none.
const RefusedKey* refused_key(std::string_view path);

// The row for one value of an existing key.
const RefusedKey* refused_value(std::string_view path, std::string_view value);

}  // namespace strata
