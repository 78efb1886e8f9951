// SPDX-License-Identifier: Apache-2.0
// Diagnostics for people, on standard error. What a command prints as its result goes to standard output, not
// here.
#pragma once

#include <spdlog/spdlog.h>

namespace strata::log {

// Sends what follows to standard error, as "strata: warning: ..."; called once by the program.
void use_standard_error();

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace strata::log
