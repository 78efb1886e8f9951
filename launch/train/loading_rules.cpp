// SPDX-License-Identifier: Apache-2.0
#include "launch/train/loading_rules.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "core/base/error.h"
#include "launch/train/run_state.h"

namespace strata {
namespace {

std::string first_names(const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  const auto shown = std::span(names).first(std::min(kShown, names.size()));
  return fmt::format("{}{}", fmt::join(shown, ", "),
                     names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : "");
}

}  // namespace

RestoreRules loading_rules(const CheckpointConfig& config) {
  RestoreRules rules{
      .allow_missing = config.allow_missing, .reinit = config.reinit, .ignore_extra = config.ignore_extra};
  for (const std::string& text : config.rename) {
    const size_t equal = text.find('=');
    if (equal == 0 || equal == std::string::npos || equal + 1 == text.size() ||
        text.find('=', equal + 1) != std::string::npos)
      throw Error(Fault::usage, {.what = "a rename is not of its form",
                                 .where = "checkpoint.rename",
                                 .found = text,
                                 .expected = "\"STORED=NAME\", both names of one tensor",
                                 .fix = "`strata inspect` lists the stored names"});
    const std::string stored = text.substr(0, equal), name = text.substr(equal + 1);
    for (const auto& [other, from] : rules.rename)
      if (other == name || from == stored)
        throw Error(Fault::usage, {.what = "two renames are about one tensor",
                                   .where = "checkpoint.rename",
                                   .found = fmt::format("{}={} and {}", from, other, text),
                                   .expected = "each stored tensor and each tensor of the model once"});
    rules.rename.emplace_back(name, stored);
  }
  return rules;
}

bool has_rules(const CheckpointConfig& config) {
  return !config.allow_missing.empty() || !config.reinit.empty() || !config.ignore_extra.empty() ||
         !config.rename.empty();
}

bool applied_before(const CheckpointConfig& config, const StrataSource& checkpoint) {
  if (!has_rules(config) || !checkpoint.metadata().contains("config")) return false;
  const CheckpointConfig there = checkpoint_config(checkpoint).config.checkpoint;
  return there.allow_missing == config.allow_missing && there.reinit == config.reinit &&
         there.ignore_extra == config.ignore_extra && there.rename == config.rename;
}

std::string let_through(const TensorMatch& match) {
  std::string text;
  if (!match.kept.empty())
    text += fmt::format("begin anew: {} tensors: {}\n", match.kept.size(), first_names(match.kept));
  if (!match.ignored.empty())
    text +=
        fmt::format("left out: {} stored tensors: {}\n", match.ignored.size(), first_names(match.ignored));
  return text;
}

}  // namespace strata
