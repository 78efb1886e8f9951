// SPDX-License-Identifier: Apache-2.0
// What PyTorch's optimizers call the state that they keep for a parameter, and what we do.
#pragma once

#include <string>
#include <string_view>

namespace strata {

// "m" for "exp_avg", "v" for "exp_avg_sq"; others keep their names, both ways.
inline std::string state_of_torch(std::string_view key) {
  return key == "exp_avg" ? "m" : key == "exp_avg_sq" ? "v" : std::string(key);
}
inline std::string torch_state(std::string_view state) {
  return state == "m" ? "exp_avg" : state == "v" ? "exp_avg_sq" : std::string(state);
}

}  // namespace strata
