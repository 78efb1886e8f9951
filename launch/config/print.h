// SPDX-License-Identifier: Apache-2.0
// The configuration and its keys as text: what a run prints, help, and the reference page.
#pragma once

#include <string>
#include <string_view>

#include "launch/config/load.h"

namespace strata {

// Every key as TOML with its origin in a comment. Loading the text gives the same Config.
std::string effective_toml(const LoadedConfig& loaded);

// One line per key, for --help.
std::string key_help(std::string_view section = {});

// The keys of one section, or of all when `section` is empty, as Markdown. The section exists.
std::string key_reference(std::string_view section = {});

}  // namespace strata
