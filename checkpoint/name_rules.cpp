// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/name_rules.h"

#include <fmt/format.h>

namespace strata {
namespace {

bool means(std::string_view rule, std::string_view name) {
  return rule.ends_with('*') ? name.starts_with(rule.substr(0, rule.size() - 1)) : rule == name;
}

}  // namespace

bool NameRules::apply(std::string_view name) {
  bool any = false;
  for (size_t i = 0; i < rules_.size(); ++i)
    if (means(rules_[i], name)) {
      used_[i] = true;
      any = true;
    }
  return any;
}

void NameRules::list_unused(std::vector<std::string>& faults) const {
  for (size_t i = 0; i < rules_.size(); ++i)
    if (!used_[i] && rules_[i] != "*")
      faults.push_back(fmt::format("{} '{}' applies to nothing", what_, rules_[i]));
}

}  // namespace strata
