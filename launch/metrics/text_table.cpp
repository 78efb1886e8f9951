// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/text_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace strata {

std::string TextTable::text() const {
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      if (!used(column)) continue;
      line += column == 0 ? fmt::format("{:<{}}", row[0], width(0))
                          : fmt::format("  {:>{}}", row[column], width(column));
    }
    text += line + "\n";
  }
  return text;
}

bool TextTable::used(size_t column) const {
  return std::any_of(rows_.begin() + 1, rows_.end(), [&](const auto& row) { return !row[column].empty(); });
}

size_t TextTable::width(size_t column) const {
  size_t width = 0;
  for (const auto& row : rows_) width = std::max(width, row[column].size());
  return width;
}

}  // namespace strata
