// SPDX-License-Identifier: Apache-2.0
// Section [offload] of a configuration as a run uses it: where state lives, what memory there is, and the
// store of what lies on drives.
#pragma once

#include <array>
#include <memory>

#include "core/io/file_system.h"
#include "core/step/step_plan.h"
#include "launch/config/config.h"
#include "offload/drive_probe.h"
#include "offload/memory_budget.h"
#include "offload/tile_store.h"

namespace strata {

TierOptions tier_options(const OffloadConfig& config);

// Bytes of each tier's arena; 0: as many as it takes. Throws Error(usage) for what is no size.
std::array<int64_t, kNumTiers> tier_limits(const OffloadConfig& config);

// Bytes that the drives last for; 0: not known.
double drive_endurance(const OffloadConfig& config);

// Throws Error(usage) for what does not go together.
void check_offload(const Config& config);

// Whether any class has its home on drives.
bool uses_drives(const OffloadConfig& config);

// The folders of the configuration, which are made, each tried with about `bytes`: a fraction of a second to
// a few seconds a drive. Throws IoError for a folder that cannot be written.
std::vector<DriveProbe> probe_drives(FileSystem& files, const Config& config, int64_t bytes);

// This rank's store in the folders of the configuration, tiles dealt by the drives' speeds; with
// ExistingFiles::discard it is empty. Null when the plan keeps nothing on nvme. Throws what TileStore::open
// throws. `files` must outlive it.
std::unique_ptr<TileStore> open_store(FileSystem& files, const Config& config, const StepPlan& plan, int rank,
                                      std::span<const DriveProbe> drives, ExistingFiles existing);

// The smallest number of blocks to load ahead, up to 8, with which the simulated step is within 2 % of the
// best one that fits into the limits. Plans the step a few times. Throws what StepPlan throws when none fits.
int choose_prefetch(const Model& model, StepPlanOptions options);

// What a process needs besides its arenas: program, threads, data, buffers of files; as measured for small
// runs.
inline constexpr int64_t kProcessBytes = int64_t{96} << 20;
// Throws Error(memory) when the arenas of a plan, `ranks_here` times, do not fit into this machine.
void check_memory(const HostMemory& memory, const StepPlan& plan, int ranks_here);

}  // namespace strata
