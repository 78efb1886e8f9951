// SPDX-License-Identifier: Apache-2.0
// State on drives at the start of a run: opened, and gone on from where a killed run had committed more there
// than its newest checkpoint has.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/step/step_runner.h"
#include "launch/train/offload.h"
#include "launch/train/precision.h"
#include "launch/train/run_folder.h"

namespace strata {

struct RunStore {
  std::unique_ptr<TileStore> store;  // null: nothing lives on nvme
  bool goes_on = false;              // the run goes on from what the store has
};

// `of_all_ranks` gives every rank's value. Collective.
using AllRanks = std::function<std::vector<int64_t>(int64_t own)>;
RunStore open_run_store(FileSystem& files, const Config& config, const StepPlan& plan, int rank,
                        std::span<const DriveProbe> drives, const RunFolder& folder,
                        const AllRanks& of_all_ranks);

// Throws Error(usage) when offload.slots asks drives to give back a run that they do not have whole.
void check_slots(const Config& config, const StepRunner& runner, RunPrecision& precision);

}  // namespace strata
