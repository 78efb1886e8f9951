// SPDX-License-Identifier: Apache-2.0
// On a GPU: two runs, which must give the same bits.
#include "tests/support/cuda/cuda_device.h"

namespace strata {

void for_schedules(const std::function<void()>& body) {
  body();
  body();
}

}  // namespace strata
