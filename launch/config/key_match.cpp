// SPDX-License-Identifier: Apache-2.0
#include "launch/config/key_match.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "core/base/suggest.h"
#include "launch/config/key_table.h"
#include "launch/config/refused.h"

namespace strata {
namespace {

std::string full_path(std::string_view section, std::string_view name) {
  return section.empty() ? std::string(name) : fmt::format("{}.{}", section, name);
}

Report refused_report(const std::string& path, const RefusedKey& row) {
  return {.what = fmt::format("{}: {}", path, row.why),
          .where = {},
          .found = path,
          .expected = "a key of this version ('strata config keys' lists them)",
          .fix = std::string(row.fix)};
}

// The sections that have a key of this name.
std::vector<const Key*> homes(std::string_view name) {
  std::vector<const Key*> keys;
  for (const Key& key : key_table().keys())
    if (key.name == name) keys.push_back(&key);
  return keys;
}

Report misplaced(const std::string& path, const std::vector<const Key*>& keys) {
  std::vector<std::string> sections, paths;
  for (const Key* key : keys) {
    sections.push_back(fmt::format("[{}]", key->section));
    paths.push_back(key->path);
  }
  return {.what = fmt::format("{} is in the wrong place: this key belongs to {}", path,
                              fmt::join(sections, " or ")),
          .where = {},
          .found = path,
          .expected = fmt::format("{}", fmt::join(paths, " or ")),
          .fix = fmt::format("move it to {}, or write {} on the command line", sections.front(),
                             paths.front() + "=...")};
}

// The path nearest to a misspelt name: of its own section if any is near, else of all.
std::string nearest_path(std::string_view section, std::string_view name) {
  std::vector<std::string> names, paths;
  for (const bool own : {true, false}) {
    for (const Key& key : key_table().keys()) {
      if ((key.section == section) != own) continue;
      names.emplace_back(key.name);
      paths.push_back(key.path);
      for (const std::string_view alias : key.traits.aliases) {
        names.emplace_back(alias);
        paths.push_back(key.path);
      }
    }
    const std::string near = nearest(name, names);
    if (!near.empty()) return paths[static_cast<size_t>(std::ranges::find(names, near) - names.begin())];
  }
  return "";
}

std::vector<std::string> section_names() {
  std::vector<std::string> names;
  for (const KeySection& section : key_table().sections()) names.emplace_back(section.name);
  return names;
}

}  // namespace

KeyMatch match_key(std::string_view section, std::string_view name) {
  const KeyTable& table = key_table();
  const std::string path = full_path(section, name);
  if (const Key* key = table.find(path)) return {.key = key, .note = {}, .fault = {}};
  if (const Key* key = table.by_alias(name)) {
    if (section.empty() || section == key->section)
      return {.key = key, .note = fmt::format("{} is read as {}", path, key->path), .fault = {}};
    return {.key = nullptr, .note = {}, .fault = misplaced(path, {key})};
  }
  if (const RefusedKey* row = refused_key(path))
    return {.key = nullptr, .note = {}, .fault = refused_report(path, *row)};
  if (const auto keys = homes(name); !keys.empty())
    return {.key = nullptr, .note = {}, .fault = misplaced(path, keys)};

  const std::string near = nearest_path(section, name);
  return {.key = nullptr,
          .note = {},
          .fault = {.what = fmt::format("unknown key {}", path),
                    .where = {},
                    .found = path,
                    .expected = section.empty() ? "a key in one of the sections"
                                                : fmt::format("a key of [{}]", section),
                    .fix = near.empty() ? "remove it; 'strata config keys' lists all keys"
                                        : fmt::format("did you mean {}?", near)}};
}

Report unknown_section(std::string_view name) {
  if (const RefusedKey* row = refused_key(std::string(name) + ".*"))
    return refused_report(fmt::format("[{}]", name), *row);
  const std::vector<std::string> names = section_names();
  const std::string near = nearest(name, names);
  return {.what = fmt::format("unknown section [{}]", name),
          .where = {},
          .found = fmt::format("[{}]", name),
          .expected = fmt::format("one of: {}", fmt::join(names, ", ")),
          .fix = near.empty() ? "remove it, or move its keys to the section they belong to"
                              : fmt::format("did you mean [{}]?", near)};
}

}  // namespace strata
