// SPDX-License-Identifier: Apache-2.0
#include "launch/train/lane_tally.h"

#include <utility>

namespace strata {

void LaneTally::add(const ActionEvent& event) {
  const std::lock_guard lock(mutex_);
  times_.busy_s[static_cast<size_t>(event.lane)] += 1e-9 * static_cast<double>(event.end_ns - event.begin_ns);
  if (event.lane == Lane::compute && event.waited_for != Lane::compute)
    times_.waited_s[static_cast<size_t>(event.waited_for)] += 1e-9 * static_cast<double>(event.wait_ns);
}

LaneTimes LaneTally::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(times_, {});
}

std::map<std::string, double> waits_ms(const LaneTimes& times) {
  std::map<std::string, double> waits;
  for (size_t lane = 0; lane < kNumLanes; ++lane)
    if (times.waited_s[lane] > 0)
      waits[std::string(name(static_cast<Lane>(lane)))] = 1e3 * times.waited_s[lane];
  return waits;
}

}  // namespace strata
