// SPDX-License-Identifier: Apache-2.0
// What follows from a configuration: derived values, and the conditions between keys that no single key's
// range says.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launch/config/config.h"

namespace strata {

// The configuration with every "resolved" zero of config.h replaced. head_dim stays 0 when heads do not
// divide hidden.
Config resolve(Config config);

// One broken condition between keys, its equation in numbers.
struct CrossFault {
  std::vector<std::string_view> keys;  // paths of the keys in the equation
  std::string what;
  std::string found;
  std::string expected;
  std::string fix;
};

// Every broken condition of a resolved configuration.
std::vector<CrossFault> cross_check(const Config& config);

}  // namespace strata
