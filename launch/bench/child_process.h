// SPDX-License-Identifier: Apache-2.0
// Another program, run to its end: what it prints, and what it took.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace strata {

struct ChildOutcome {
  int code = -1;  // exit code; -1: ended by a signal
  std::string out;
  int64_t peak_bytes = 0;  // resident
  double seconds = 0;
};

// `command`: the program, looked for in PATH, and its arguments. Nothing when there is none. Standard error
// is passed on.
std::optional<ChildOutcome> run_child(const std::vector<std::string>& command);

}  // namespace strata
