// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launch/metrics/step_record.h"

namespace strata {

// Resident memory of this process, now and at its peak, as the kernel counts it; zeros where it does not say.
TierUse process_memory();

}  // namespace strata
