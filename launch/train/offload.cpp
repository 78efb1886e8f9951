// SPDX-License-Identifier: Apache-2.0
#include "launch/train/offload.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "offload/tile_store.h"

namespace strata {
namespace {

int64_t limit_of(const std::string& text, std::string_view key) {
  if (text.empty()) return 0;
  const std::optional<int64_t> bytes = parse_size(text);
  if (bytes && *bytes > 0) return *bytes;
  throw Error(Fault::usage, {.what = "this is not an amount of memory",
                             .where = fmt::format("offload.{}", key),
                             .found = text,
                             .expected = "a size as \"64GiB\" or \"512MiB\", or \"\" for no limit"});
}

}  // namespace

TierOptions tier_options(const OffloadConfig& c) {
  return {.weights = {c.weights, c.weights_kept},
          .master = {c.master, c.master_kept},
          .moments = {c.moments, c.moments_kept},
          .activations = {c.activations, c.activations_kept},
          .prefetch = narrow<int>(c.prefetch)};
}

std::array<int64_t, kNumTiers> tier_limits(const OffloadConfig& c) {
  return {limit_of(c.device_limit, "device_limit"), limit_of(c.host_limit, "host_limit"), 0};
}

void check_offload(const Config& config) {
  const ParallelConfig& p = config.parallel;
  if (config.offload.group != 1 && p.pp * p.virtual_stages > 1)
    throw Error(Fault::usage, {.what = "a pipeline has an order of its own for micro-batches",
                               .where = "offload.group",
                               .found = fmt::format("{} with {} pipeline stages", config.offload.group,
                                                    p.pp * p.virtual_stages),
                               .expected = "1 with a pipeline",
                               .fix = "remove offload.group, or parallel.pp and parallel.virtual_stages"});
  if (!config.log.record.empty() && tier_options(config.offload).offloads())
    throw Error(Fault::usage,
                {.what = "a record of every action needs the state where it can be read at any time",
                 .where = "log.record",
                 .found = "state away from the device in [offload]",
                 .fix = "record the run without [offload]: its bits are the same"});
}

std::unique_ptr<BackingStore> open_store(FileSystem& files, const Config& config, const StepPlan& plan,
                                         int rank) {
  std::vector<StoredValue> values = plan.stored_values();
  if (values.empty()) return nullptr;
  std::vector<std::string> folders = config.offload.paths;
  if (folders.empty()) folders.push_back(config.run.out + "/offload");
  for (const std::string& folder : folders) make_directories(files, folder);
  // Two runs in one folder are told apart by where they write, which one run alone does.
  const std::string identity = fmt::format(
      "{:016x}", hash_name(std::filesystem::absolute(config.run.out).lexically_normal().string()));
  return TileStore::open(files,
                         {.folders = folders,
                          .run = identity,
                          .rank = rank,
                          .slots = 1,  // a restart begins with a checkpoint
                          .existing = ExistingFiles::discard,
                          .volumes = config.offload.any_volume ? Volumes::any : Volumes::local_drives},
                         std::move(values));
}

}  // namespace strata
