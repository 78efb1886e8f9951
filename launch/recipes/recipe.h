// SPDX-License-Identifier: Apache-2.0
// Configurations to begin with. A new one is a file here and a row in recipe_table.cpp.
#pragma once

#include <span>
#include <string_view>

namespace strata {

struct Recipe {
  std::string_view name;
  std::string_view help;  // one line
  std::string_view toml;  // commented, and free of faults
};

std::span<const Recipe> recipes();

}  // namespace strata
