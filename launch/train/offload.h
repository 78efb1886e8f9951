// SPDX-License-Identifier: Apache-2.0
// Section [offload] of a configuration as a run uses it: where state lives, what memory there is, and the
// store of what lies on drives.
#pragma once

#include <array>
#include <memory>

#include "core/io/file_system.h"
#include "core/program/backing_store.h"
#include "core/step/step_plan.h"
#include "launch/config/config.h"

namespace strata {

TierOptions tier_options(const OffloadConfig& config);

// Bytes of each tier's arena; 0: as many as it takes. Throws Error(usage) for what is no size.
std::array<int64_t, kNumTiers> tier_limits(const OffloadConfig& config);

// Throws Error(usage) for what does not go together.
void check_offload(const Config& config);

// This rank's store, empty, in the folders of the configuration, which are made. Null when the plan keeps
// nothing on nvme. Throws what TileStore::open throws. `files` must outlive it.
std::unique_ptr<BackingStore> open_store(FileSystem& files, const Config& config, const StepPlan& plan,
                                         int rank);

}  // namespace strata
