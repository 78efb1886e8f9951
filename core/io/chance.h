// SPDX-License-Identifier: Apache-2.0
// The seeded choices of the fault-injecting twins: the same seed and calls give the same run.
#pragma once

#include <cstdint>

#include "core/base/hash.h"

namespace strata {

class Chance {
 public:
  explicit Chance(uint64_t seed) : seed_(mix64(seed)) {}

  bool coin() { return below(2) == 1; }
  // Uniform in [0, bound).
  int64_t below(int64_t bound) {
    return static_cast<int64_t>(mix64(seed_ ^ mix64(drawn_++)) % static_cast<uint64_t>(bound));
  }

 private:
  uint64_t seed_;
  uint64_t drawn_ = 0;
};

}  // namespace strata
