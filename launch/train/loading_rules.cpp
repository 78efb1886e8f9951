// SPDX-License-Identifier: Apache-2.0
#include "launch/train/loading_rules.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "checkpoint/name_rules.h"
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

RestoreRules rules_about(LoadedPart part, const RestoreRules& rules, const Model& model) {
  // Whether some tensor that `counts` is meant.
  const auto means = [&](const std::string& rule, auto counts) {
    const std::vector<std::string> one{rule};
    NameRules names("", one);
    for (int block = 0; block < model.num_blocks(); ++block)
      for (const Parameter& parameter : model.parameters(block))
        for (const LogicalTensor& piece : parameter.pieces)
          if (counts(parameter) && names.apply(piece.name)) return true;
    return false;
  };
  const auto is_adapter = [](const Parameter& parameter) { return parameter.role == Role::adapter; };
  const auto is_model = [&](const Parameter& parameter) { return !is_adapter(parameter); };
  const auto is_kept = [&](const Parameter& parameter) { return parameter.trainable; };
  const auto wanted = [&](const std::string& rule) {
    if (part == LoadedPart::adapters) return means(rule, is_kept);
    return means(rule, is_model) || !means(rule, is_adapter);
  };
  const auto stored = [&](const std::string& rule) {
    const bool of_adapters =
        rule.ends_with(kLoraA) || rule.ends_with(kLoraB) || (rule != "*" && means(rule, is_model));
    return rule == "*" || of_adapters == (part == LoadedPart::adapters);
  };
  RestoreRules about;
  for (const auto& rename : rules.rename)
    if (wanted(rename.first)) about.rename.push_back(rename);
  std::ranges::copy_if(rules.allow_missing, std::back_inserter(about.allow_missing), wanted);
  std::ranges::copy_if(rules.reinit, std::back_inserter(about.reinit), wanted);
  std::ranges::copy_if(rules.ignore_extra, std::back_inserter(about.ignore_extra), stored);
  return about;
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
