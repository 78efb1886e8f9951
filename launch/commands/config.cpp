// SPDX-License-Identifier: Apache-2.0
// strata config check|show|keys
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/config/fingerprint.h"
#include "launch/config/key_table.h"
#include "launch/config/print.h"

namespace strata {
namespace {

int check_config(const ConfigArguments& arguments) {
  const LoadedConfig loaded = arguments.load();
  fmt::print("{}: ok, fingerprint {:016x}\n", arguments.file, fingerprint(loaded.config));
  return 0;
}

int show_config(const ConfigArguments& arguments) {
  fmt::print("{}", effective_toml(arguments.load()));
  return 0;
}

int list_keys(const std::string& section, bool markdown) {
  if (!section.empty() && !key_table().section(section)) {
    std::vector<std::string> names;
    for (const KeySection& known : key_table().sections()) names.emplace_back(known.name);
    const std::string near = nearest(section, names);
    throw Error(Fault::usage, {.what = fmt::format("there is no section [{}]", section),
                               .where = "command line",
                               .found = section,
                               .expected = fmt::format("one of: {}", fmt::join(names, ", ")),
                               .fix = near.empty() ? "strata config keys" : "strata config keys " + near});
  }
  fmt::print("{}", markdown ? key_reference(section) : key_help(section));
  return 0;
}

}  // namespace

Run add_config(CLI::App& app) {
  app.require_subcommand(1);
  CLI::App* check = app.add_subcommand("check", "find every mistake in a configuration");
  const auto check_arguments = add_config_arguments(*check, "strata config check tiny.toml");
  CLI::App* show = app.add_subcommand("show", "print every key, its value and where the value comes from");
  const auto show_arguments = add_config_arguments(*show, "strata config show tiny.toml optimizer.lr=1e-3");
  CLI::App* keys = app.add_subcommand("keys", "say what every key means, its default and what it accepts");
  const auto section = std::make_shared<std::string>();
  keys->add_option("SECTION", *section, "only this section");
  const auto markdown = std::make_shared<bool>(false);
  keys->add_flag("--markdown", *markdown,
                 "as a reference page, with the names that other trainers have for them");
  keys->footer("Examples:\n  strata config keys optimizer\n  strata config keys --markdown > keys.md");
  return [=] {
    if (check->parsed()) return check_config(*check_arguments);
    if (show->parsed()) return show_config(*show_arguments);
    return list_keys(*section, *markdown);
  };
}

}  // namespace strata
