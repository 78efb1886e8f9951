// SPDX-License-Identifier: Apache-2.0
// One configuration value, whatever its key: what the parser hands to a key and a key hands to the printer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "launch/config/units.h"

namespace strata {

enum class KeyKind {
  boolean,
  integer,
  number,  // a float; integers are welcome
  text,
  choice,         // one of a closed set of texts
  texts,          // a list of texts; a single text is a list of one
  numbers,        // a list of numbers
  period,         // a number of steps, or a duration
  number_or_off,  // a number, or "off"
};

struct Off {
  friend bool operator==(Off, Off) = default;
};

// Kinds text and choice both hold a string, number_or_off a double or Off.
using KeyValue = std::variant<bool, int64_t, double, std::string, std::vector<std::string>,
                              std::vector<double>, Period, Off>;

// The value as TOML. Numbers are the shortest text that reads back as the same double.
std::string to_toml(const KeyValue& value);

// text in double quotes, with everything escaped that TOML wants escaped. `text` is UTF-8.
std::string quote(std::string_view text);

}  // namespace strata
