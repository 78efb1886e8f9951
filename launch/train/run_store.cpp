// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_store.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/base/error.h"

namespace strata {

// Resumes what a killed run has committed there, when that is further than the newest checkpoint and common
// to all ranks. They are apart by one commit at most: no rank writes over what another still needs, since all
// of them meet between a commit and the next one: in the sums at the end of a step, or, where commits are
// those of deferred updates, when they ask each other whether to stop.
RunStore open_run_store(FileSystem& files, const Config& config, const StepPlan& plan, int rank,
                        std::span<const DriveProbe> drives, const RunFolder& folder,
                        const AllRanks& of_all_ranks) {
  const auto open = [&](ExistingFiles existing) {
    return open_store(files, config, plan, rank, drives, existing);
  };
  if (config.offload.slots < 2 || config.checkpoint.resume != "auto" || !folder.has_begun())
    return {open(ExistingFiles::discard)};
  std::unique_ptr<TileStore> store;
  try {
    store = open(ExistingFiles::resume);
  } catch (const Error& error) {
    // Of another layout, or damaged: with a checkpoint the run goes on all the same.
    if (error.fault() != Fault::data || !folder.resume_from()) throw;
    if (rank == 0) fmt::print("the state on drives is not gone on with\n{}\n", error.what());
  }
  const int64_t own = store ? store->committed_step() : -1;
  const std::vector<int64_t> all = of_all_ranks(own);
  const int64_t common = *std::min_element(all.begin(), all.end());
  const int64_t saved = folder.choice().folder ? folder.choice().folder->step : -1;
  const std::vector<int64_t> able = of_all_ranks(store && (own == common || store->step_before() == common));
  if (common < 0 || common < saved || std::count(able.begin(), able.end(), 0) > 0) {
    store.reset();
    return {open(ExistingFiles::discard)};
  }
  if (own > common) store->go_back();
  return {std::move(store), true};
}

void check_slots(const Config& config, const StepRunner& runner, RunPrecision& precision) {
  if (config.offload.slots > 1 && !runner.lives_in_store())
    throw Error(Fault::usage, {.what = "drives give back a run only when they have all of its state",
                               .where = "offload.slots",
                               .found = "2, with state elsewhere too",
                               .expected = "weights, master and moments on nvme as a whole",
                               .fix = "offload.weights=nvme offload.master=nvme offload.moments=nvme without "
                                      "*_kept; or offload.slots=1"});
  if (config.offload.slots > 1 && precision.delayed())
    throw Error(Fault::usage, {.what = "drives do not hold the history that delayed scales are made of",
                               .where = "offload.slots, precision.recipe",
                               .found = "2 with \"tensor-delayed\"",
                               .fix = "precision.recipe=tensor-current, or offload.slots=1"});
}

}  // namespace strata
