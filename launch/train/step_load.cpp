// SPDX-License-Identifier: Apache-2.0
#include "launch/train/step_load.h"

#include <algorithm>

namespace strata {

StepLoad step_load(const StepPlan& plan) {
  const LinkedProgram& linked = plan.train();
  StepLoad load{.tokens = static_cast<double>(plan.geometry().tokens() * plan.geometry().micro_batches)};
  for (size_t i = 0; i < linked.actions.size(); ++i) {
    if (!linked.actions[i].runs) continue;
    const Action& action = linked.program.list[i];
    if (linked.actions[i].lane == Lane::compute) load.device_s += plan.costs().seconds(action);
    if (!is_move(action)) continue;
    const auto bytes = static_cast<double>(plan.costs().moved_bytes(action));
    const bool of_tokens = per_micro_batch(action.cls);
    switch (linked.actions[i].lane) {
      case Lane::h2d:
        load.h2d += bytes;
        break;
      case Lane::d2h:
        load.d2h += bytes;
        break;
      case Lane::disk_read:
        load.drive_read += bytes;
        load.read_of_tokens += of_tokens ? bytes : 0;
        break;
      case Lane::disk_write:
        load.drive_write += bytes;
        load.written_of_tokens += of_tokens ? bytes : 0;
        break;
      default:
        break;
    }
  }
  return load;
}

StreamRates stream_rates(const Rates& rates) {
  return {.h2d = rates.host_to_device,
          .d2h = rates.device_to_host,
          .drive_read = rates.disk_read,
          .drive_write = rates.disk_write};
}

Rates with_drives(Rates rates, std::span<const DriveProbe> drives) {
  // Dealt by their speed in both directions together, the drive whose own direction is slowest for its share
  // ends last.
  double all = 0;
  for (const DriveProbe& drive : drives) all += drive.speed();
  if (all <= 0) return rates;
  double read = 0, write = 0;
  for (const DriveProbe& drive : drives) {
    if (drive.speed() <= 0) return rates;
    const double share = drive.speed() / all;
    const auto least = [&](double& of_all, double own) {
      of_all = of_all == 0 ? own / share : std::min(of_all, own / share);
    };
    least(read, drive.read_gb_per_s);
    least(write, drive.write_gb_per_s);
  }
  rates.disk_read = 1e9 * read;
  rates.disk_write = 1e9 * write;
  return rates;
}

}  // namespace strata
