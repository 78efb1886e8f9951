// SPDX-License-Identifier: Apache-2.0
#include "launch/config/print.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/config/key_table.h"

namespace strata {
namespace {

// A comment ends at its line and is UTF-8: file names need be neither.
std::string one_line(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c < ' ' || c > '~') c = '?';
  return result;
}

std::string default_of(const Key& key) {
  return key.traits.required ? "required" : to_toml(key.get(Config{}));
}

std::string details(const Key& key) {
  std::string text = accepted(key);
  if (!key.traits.unit.empty()) text += fmt::format("; unit: {}", key.traits.unit);
  const OnlyWhen& condition = key.traits.only_when;
  if (!condition.sibling.empty())
    text += fmt::format("; only with {} = {}", condition.sibling, fmt::join(condition.values, " or "));
  return text;
}

}  // namespace

std::string effective_toml(const LoadedConfig& loaded) {
  std::string text = "# The effective configuration. 'strata train' starts the same run from this file.\n";
  for (const KeySection& section : key_table().sections()) {
    text += fmt::format("\n[{}]\n", section.name);
    for (const Key& key : key_table().keys()) {
      if (key.section != section.name) continue;
      const KeyValue given = key.get(loaded.given), used = key.get(loaded.config);
      std::string origin = one_line(loaded.origin(key.path));
      if (given != used) origin += ", here " + to_toml(used);
      text += fmt::format("{:<40} # {}\n", fmt::format("{} = {}", key.name, to_toml(given)), origin);
    }
  }
  return text;
}

std::string key_help(std::string_view only) {
  std::string text = "Keys of the configuration (section.key = default: meaning):\n";
  for (const Key& key : key_table().keys())
    if (only.empty() || only == key.section)
      text += fmt::format("  {} = {}: {} [{}]\n", key.path, default_of(key), key.traits.doc, accepted(key));
  return text;
}

std::string key_reference(std::string_view only) {
  std::string text;
  if (only.empty())
    text =
        "# Configuration keys\n\n"
        "A run is described by a TOML file; `section.key=value` on the command line wins over it. This page "
        "is printed "
        "by `strata config keys --markdown`.\n";
  for (const KeySection& section : key_table().sections()) {
    if (!only.empty() && only != section.name) continue;
    text += fmt::format(
        "{}## [{}]\n\n{}\n\n| key | default | meaning | accepts | also read as |\n| --- | --- | --- | --- | "
        "--- |\n",
        text.empty() ? "" : "\n", section.name, section.doc);
    for (const Key& key : key_table().keys())
      if (key.section == section.name)
        text += fmt::format("| `{}` | `{}` | {} | {} | {} |\n", key.name, default_of(key), key.traits.doc,
                            details(key), fmt::join(key.traits.aliases, ", "));
  }
  return text;
}

}  // namespace strata
