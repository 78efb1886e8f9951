// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/match_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>

#include "checkpoint/name_rules.h"
#include "core/base/error.h"

namespace strata {
TensorMatch match_tensors(std::span<const TensorSpec> wanted, std::span<const TensorSpec> stored,
                          const RestoreRules& rules, const std::string& where) {
  std::map<std::pair<std::string, std::string>, size_t> known;
  for (size_t i = 0; i < stored.size(); ++i) known.emplace(std::pair(stored[i].name, stored[i].state), i);
  std::map<std::string, std::string> renames(rules.rename.begin(), rules.rename.end());
  std::set<std::string> renamed;
  NameRules missing("allow-missing", rules.allow_missing), reinit("reinit", rules.reinit),
      extra("ignore-extra", rules.ignore_extra);
  TensorMatch match;
  std::vector<std::string> faults;
  std::vector<char> used(stored.size());
  for (const TensorSpec& tensor : wanted) {
    std::optional<size_t>& from = match.stored.emplace_back();
    std::string name = tensor.name;
    if (const auto rule = renames.find(name); rule != renames.end()) {
      renamed.insert(name);
      name = rule->second;
    }
    const auto found = known.find({name, tensor.state});
    if (found != known.end()) used[found->second] = 1;
    if (reinit.apply(tensor.name)) {
      match.kept.push_back(to_string(tensor));
    } else if (found == known.end()) {
      if (missing.apply(tensor.name))
        match.kept.push_back(to_string(tensor));
      else
        faults.push_back("missing    " + to_string(tensor));
    } else if (const TensorSpec& there = stored[found->second];
               there.shape != tensor.shape || there.type != tensor.type) {
      faults.push_back(fmt::format("different  {}: stored as {} {}", to_string(tensor),
                                   strata::name(there.type), there.shape));
    } else {
      from = found->second;
    }
  }
  for (size_t i = 0; i < stored.size(); ++i) {
    if (used[i]) continue;
    if (extra.apply(stored[i].name))
      match.ignored.push_back(to_string(stored[i]));
    else
      faults.push_back("extra      " + to_string(stored[i]));
  }
  missing.list_unused(faults);
  reinit.list_unused(faults);
  extra.list_unused(faults);
  for (const auto& [name, to] : renames)
    if (!renamed.contains(name)) faults.push_back(fmt::format("rename '{}' applies to nothing", name));
  if (!faults.empty())
    throw Error(Fault::model,
                {.what = "the checkpoint does not hold the tensors that are wanted",
                 .where = where,
                 .found = fmt::format("{} differences\n    {}", faults.size(), fmt::join(faults, "\n    ")),
                 .expected = "the same names, types and shapes",
                 .fix = "use the model's own checkpoint, or rules: allow-missing, reinit, rename, "
                        "ignore-extra (of a run: checkpoint.allow_missing and so on)"});
  return match;
}

}  // namespace strata
