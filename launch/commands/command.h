// SPDX-License-Identifier: Apache-2.0
// What a subcommand is. A new one is a file here and a row in command_table.cpp.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace strata {

// Does the command's work after parsing; returns the exit code. Faults are thrown, results go to standard
// output.
using Run = std::function<int()>;

struct Command {
  std::string_view name;
  std::string_view help;      // one line
  Run (*add)(CLI::App& app);  // declares the options; what they are parsed into lives in the returned Run
};

std::span<const Command> commands();

std::string version_line();  // "strata 0.1.0"

}  // namespace strata
