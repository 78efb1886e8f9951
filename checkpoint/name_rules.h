// SPDX-License-Identifier: Apache-2.0
// Names that a user lets through: a list of tensors' names, of which one that ends with '*' means all that
// begin so; and which of them were of use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace strata {

class NameRules {
 public:
  // `what`: the list's name in messages. Both live longer.
  NameRules(const char* what, const std::vector<std::string>& rules)
      : what_(what), rules_(rules), used_(rules.size()) {}

  // Whether a rule means `name`.
  bool apply(std::string_view name);
  // Adds "allow-missing 'norm' applies to nothing" for each that never did, but for "*".
  void list_unused(std::vector<std::string>& faults) const;

 private:
  const char* what_;
  const std::vector<std::string>& rules_;
  std::vector<char> used_;
};

}  // namespace strata
