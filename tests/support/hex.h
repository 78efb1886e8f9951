// SPDX-License-Identifier: Apache-2.0
// Bytes as the hexadecimal text of golden files: two digits a byte.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <vector>

namespace strata {

inline std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", static_cast<int>(b));
  return text;
}

}  // namespace strata
