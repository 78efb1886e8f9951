// SPDX-License-Identifier: Apache-2.0
// Hexadecimal digits of fixed length, lower case only: what manifests hold.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace strata {

inline std::string hex32(uint32_t value) { return fmt::format("{:08x}", value); }
inline std::string hex64(uint64_t value) { return fmt::format("{:016x}", value); }

// Nothing unless every character is 0-9 or a-f and there are at most 16.
inline std::optional<uint64_t> hex_value(std::string_view digits) {
  if (digits.empty() || digits.size() > 16) return std::nullopt;
  uint64_t value = 0;
  for (const char c : digits) {
    if (c >= '0' && c <= '9')
      value = value << 4 | static_cast<uint64_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      value = value << 4 | static_cast<uint64_t>(c - 'a' + 10);
    else
      return std::nullopt;
  }
  return value;
}

}  // namespace strata
