// SPDX-License-Identifier: Apache-2.0
#include "launch/train/offload.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/program/simulate.h"

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
          .gradients = {c.gradients, c.gradients_kept},
          .master = {c.master, c.master_kept},
          .moments = {c.moments, c.moments_kept},
          .activations = {c.activations, c.activations_kept},
          .activation_format = c.activations_format,
          .prefetch = narrow<int>(std::max<int64_t>(c.prefetch, 0))};
}

std::array<int64_t, kNumTiers> tier_limits(const OffloadConfig& c) {
  return {limit_of(c.device_limit, "device_limit"), limit_of(c.host_limit, "host_limit"), 0};
}

double drive_endurance(const OffloadConfig& c) { return 1e12 * c.endurance; }

void check_offload(const Config& config) {
  const ParallelConfig& p = config.parallel;
  if (config.offload.group != 1 && p.pp * p.virtual_stages > 1)
    throw Error(Fault::usage, {.what = "a pipeline has an order of its own for micro-batches",
                               .where = "offload.group",
                               .found = fmt::format("{} with {} pipeline stages", config.offload.group,
                                                    p.pp * p.virtual_stages),
                               .expected = "1 with a pipeline",
                               .fix = "remove offload.group, or parallel.pp and parallel.virtual_stages"});
  if (config.offload.slots > 1 && config.adapter.type != AdapterType::none)
    throw Error(Fault::usage, {.what = "a run of adapters goes on from its checkpoints",
                               .where = "offload.slots",
                               .found = fmt::format("{}", config.offload.slots),
                               .expected = "1: the model beside the adapters is not the run's own",
                               .fix = "remove offload.slots"});
  const bool deferred = config.offload.timing == Timing::deferred;
  if (!config.log.record.empty() && (deferred || tier_options(config.offload).offloads()))
    throw Error(Fault::usage,
                {.what = "a record of every action needs the state where it can be read at any time",
                 .where = "log.record",
                 .found = deferred ? "updates that wait for the next step"
                                   : "state away from the device in [offload]",
                 .fix = "record the run without [offload]: its bits are the same"});
}

namespace {

std::vector<std::string> folders_of(const Config& config) {
  std::vector<std::string> folders = config.offload.paths;
  if (folders.empty()) folders.push_back(config.run.out + "/offload");
  return folders;
}

}  // namespace

bool uses_drives(const OffloadConfig& c) {
  const Tier homes[] = {c.weights, c.gradients, c.master, c.moments, c.activations};
  return std::any_of(std::begin(homes), std::end(homes), [](Tier home) { return home == Tier::nvme; });
}

std::vector<DriveProbe> probe_drives(FileSystem& files, const Config& config, int64_t bytes) {
  constexpr int64_t kLeast = int64_t{8} << 20, kMost = int64_t{128} << 20;
  std::vector<DriveProbe> drives;
  if (!uses_drives(config.offload)) return drives;
  for (const std::string& folder : folders_of(config)) {
    make_directories(files, folder);
    drives.push_back(probe_drive(files, folder, {.bytes = std::clamp(bytes, kLeast, kMost)}));
  }
  return drives;
}

std::unique_ptr<TileStore> open_store(FileSystem& files, const Config& config, const StepPlan& plan, int rank,
                                      std::span<const DriveProbe> drives, ExistingFiles existing) {
  std::vector<StoredValue> values = plan.stored_values();
  if (values.empty()) return nullptr;
  const std::vector<std::string> folders = folders_of(config);
  for (const std::string& folder : folders) make_directories(files, folder);
  std::vector<double> speeds;
  for (const DriveProbe& drive : drives) speeds.push_back(drive.speed());
  if (std::any_of(speeds.begin(), speeds.end(), [](double speed) { return speed <= 0; })) speeds.clear();
  // Two runs in one folder are told apart by where they write, which one run alone does.
  const std::string identity = fmt::format(
      "{:016x}", hash_name(std::filesystem::absolute(config.run.out).lexically_normal().string()));
  return TileStore::open(files,
                         {.folders = folders,
                          .speeds = std::move(speeds),
                          .run = identity,
                          .rank = rank,
                          .slots = narrow<int>(config.offload.slots),
                          .existing = existing,
                          .volumes = config.offload.any_volume ? Volumes::any : Volumes::local_drives},
                         std::move(values));
}

int choose_prefetch(const Model& model, StepPlanOptions options) {
  constexpr double kAsGood = 1.02;
  std::vector<std::pair<int, double>> tried;
  for (const int prefetch : {1, 2, 3, 4, 6, 8}) {
    options.tiers.prefetch = prefetch;
    try {
      const StepPlan plan(model, options);
      tried.emplace_back(prefetch, simulate_job(plan.train_job(), plan.costs(), 2).step_seconds);
    } catch (const Error& error) {
      if (error.fault() != Fault::memory) throw;
      if (tried.empty()) return 0;  // as little as it takes
      break;
    }
  }
  const double best = std::min_element(tried.begin(), tried.end(), [](const auto& a, const auto& b) {
                        return a.second < b.second;
                      })->second;
  return std::find_if(tried.begin(), tried.end(), [&](const auto& t) { return t.second <= kAsGood * best; })
      ->first;
}

void check_memory(const HostMemory& memory, const StepPlan& plan, int ranks_here) {
  const int64_t of_device = plan.target().kind == DeviceKind::cpu ? plan.arena_bytes() : 0;
  require_memory(memory, {.arena_bytes = plan.arena_bytes(Tier::host),
                          .smallest_bytes = plan.arena_bytes(Tier::host),
                          .other_bytes = of_device + kProcessBytes,
                          .ranks_here = ranks_here});
}

}  // namespace strata
