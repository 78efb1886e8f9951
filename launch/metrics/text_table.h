// SPDX-License-Identifier: Apache-2.0
// Rows of words under a header, for people: the first column begins at the left, the others end at the right.
// Columns that hold nothing in any row are left out.
#pragma once

#include <string>
#include <vector>

namespace strata {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) : rows_{std::move(header)} {}
  // As many words as the header has.
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;  // every line ends

 private:
  bool used(size_t column) const;
  size_t width(size_t column) const;

  std::vector<std::vector<std::string>> rows_;
};

}  // namespace strata
