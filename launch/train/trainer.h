// SPDX-License-Identifier: Apache-2.0
// `strata train`: one run from its configuration to its last step.
#pragma once

#include "launch/config/load.h"

namespace strata {

inline constexpr int kExitRequeue = 85;  // saved, wants to be started again

// Trains until run.steps are done (returns 0) or a signal asks to stop (saves, returns kExitRequeue). Throws
// Error.
int train(const LoadedConfig& loaded);

}  // namespace strata
