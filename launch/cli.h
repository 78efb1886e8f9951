// SPDX-License-Identifier: Apache-2.0
// The command line: finds the command in the table, parses its options, runs it.
#pragma once

#include <string>
#include <vector>

namespace strata {

// Runs one command line, program name left out, and returns its exit code. Bad usage is an Error (usage);
// --help and
// --version print and return 0.
int run_command_line(std::vector<std::string> arguments);

}  // namespace strata
