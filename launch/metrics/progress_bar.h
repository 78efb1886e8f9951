// SPDX-License-Identifier: Apache-2.0
// One line that says how far a long job is: bar, share, speed, time left. For a terminal; it prints nothing
// itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace strata {

class ProgressBar {
 public:
  // The line for `done` of `total` bytes after `seconds`; nothing when the last one is less than a tenth of a
  // second old. total 0: not known (a pipe), then there is no bar and no time left.
  std::optional<std::string> line(int64_t done, int64_t total, double seconds);

 private:
  double shown_at_ = -1;
};

}  // namespace strata
