// SPDX-License-Identifier: Apache-2.0
// JSON from files that may be damaged or hostile: UTF-8, no duplicate keys, bounded depth and number of
// values, nothing behind the end.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace strata {

struct JsonLimits {
  int depth = 32;
  int64_t values = int64_t{1} << 22;  // numbers, strings, literals, containers and keys together
};

// Throws Error(model) naming `where` (a file) and the byte.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where,
                                 const JsonLimits& limits = {});

}  // namespace strata
