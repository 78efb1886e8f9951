// SPDX-License-Identifier: Apache-2.0
// From a TOML file and the key=value words of a command line to a checked Config.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "launch/config/config.h"
#include "launch/config/faults.h"

namespace strata {

struct LoadedConfig {
  Config config;  // what the program uses: resolved and checked
  Config given;   // as written, zeros that stand for derived values included: what is printed
  std::map<std::string, std::string, std::less<>>
      origins;                     // "kjv.toml:12" or "command line"; absent: default
  std::vector<std::string> notes;  // one sentence per foreign name that was accepted

  std::string_view origin(std::string_view path) const;
};

// Reads `path`, then applies the overrides in order. Throws ConfigFaults with everything that is wrong.
LoadedConfig load_config(const std::string& path, const std::vector<std::string>& overrides = {});

// The same from text; `file` is the name used in messages.
LoadedConfig parse_config(std::string_view text, const std::string& file,
                          const std::vector<std::string>& overrides = {});

}  // namespace strata
