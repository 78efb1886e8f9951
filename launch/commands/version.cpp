// SPDX-License-Identifier: Apache-2.0
// strata version [--json]. The version and build type are definitions of this one file, given by CMake.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/isa.h"
#include "launch/commands/command.h"

namespace strata {
namespace {

int print_version(bool as_json) {
  const nlohmann::ordered_json facts = {
      {"version", STRATA_VERSION},
      {"build", STRATA_BUILD_TYPE},
      {"compiler", __VERSION__},
      {"instruction_set", std::string(name(active_isa()))},
  };
  if (as_json) {
    fmt::print("{}\n", facts.dump(2));
    return 0;
  }
  fmt::print("{}\n", version_line());
  for (const auto& [key, value] : facts.items())
    if (key != "version") fmt::print("  {:<16} {}\n", key, value.get<std::string>());
  return 0;
}

}  // namespace

std::string version_line() { return "strata " STRATA_VERSION; }

Run add_version(CLI::App& app) {
  const auto as_json = std::make_shared<bool>(false);
  app.add_flag("--json", *as_json, "print one JSON object");
  app.footer("Example:\n  strata version --json");
  return [as_json] { return print_version(*as_json); };
}

}  // namespace strata
