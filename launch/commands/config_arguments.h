// SPDX-License-Identifier: Apache-2.0
// "CONFIG [key=value ...]": the arguments of every command that reads a configuration.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launch/config/load.h"

namespace CLI {
class App;
}

namespace strata {

struct ConfigArguments {
  std::string file;
  std::vector<std::string> overrides;

  // Loads and checks; notes about foreign names go to standard error.
  LoadedConfig load() const;
};

// Adds the arguments, and the list of keys to the end of --help. The result is filled when the line is
// parsed.
std::shared_ptr<const ConfigArguments> add_config_arguments(CLI::App& app, std::string example);

}  // namespace strata
