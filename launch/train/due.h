// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "launch/config/units.h"

namespace strata {

// Whether something that happens every so many steps, or every so often, is due after a step.
class Due {
 public:
  explicit Due(Period period) : period_(period) {}

  bool after(int64_t step) {
    if (period_.steps > 0) return step % period_.steps == 0;
    if (period_.seconds <= 0) return false;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::seconds(period_.seconds)) return false;
    last_ = now;
    return true;
  }

  bool by_clock() const { return period_.steps <= 0 && period_.seconds > 0; }

 private:
  Period period_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace strata
