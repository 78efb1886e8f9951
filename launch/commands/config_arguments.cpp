// SPDX-License-Identifier: Apache-2.0
#include "launch/commands/config_arguments.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "launch/config/print.h"

namespace strata {

LoadedConfig ConfigArguments::load() const {
  LoadedConfig loaded = load_config(file, overrides);
  for (const std::string& note : loaded.notes) fmt::print(stderr, "strata: note: {}\n", note);
  return loaded;
}

std::shared_ptr<const ConfigArguments> add_config_arguments(CLI::App& app, std::string example) {
  auto arguments = std::make_shared<ConfigArguments>();
  app.add_option("CONFIG", arguments->file, "TOML file with the configuration")->required();
  app.add_option("key=value", arguments->overrides,
                 "values that win over the file, such as optimizer.lr=1e-3");
  app.footer([example = std::move(example)] { return "Example:\n  " + example + "\n\n" + key_help(); });
  return arguments;
}

}  // namespace strata
