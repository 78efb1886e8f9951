// SPDX-License-Identifier: Apache-2.0
// `strata train`: one run from its configuration to its last step.
#pragma once

#include "launch/config/load.h"
#include "launch/train/job.h"

namespace strata {

inline constexpr int kExitRequeue = 85;  // saved, wants to be started again

// Trains until run.steps are done (returns 0) or a signal asks to stop (saves, returns kExitRequeue). Throws
// Error. Collective over the ranks of the job; rank 0 writes and prints.
int train(const LoadedConfig& loaded, const Job& job);
// One rank alone.
int train(const LoadedConfig& loaded);

}  // namespace strata
