// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace strata {

// What `work` takes, by the wall clock.
template <typename Work>
double seconds_of(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace strata
