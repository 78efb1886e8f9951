// SPDX-License-Identifier: Apache-2.0
// How long each lane of a step was at work and was waited for, summed from the executor's events: what the
// status line, the metrics and the comparison with the roofline read.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <string>

#include "core/program/executor.h"

namespace strata {

struct LaneTimes {
  std::array<double, kNumLanes> busy_s{};    // at work
  std::array<double, kNumLanes> waited_s{};  // that the compute lane stood still for it

  double busy(Lane lane) const { return busy_s[static_cast<size_t>(lane)]; }
  double waited(Lane lane) const { return waited_s[static_cast<size_t>(lane)]; }
};

// By lane, milliseconds that computing waited: StepRecord::waits_ms. Lanes that nobody waited for are left
// out.
std::map<std::string, double> waits_ms(const LaneTimes& times);

class LaneTally {
 public:
  void add(const ActionEvent& event);  // from any lane's thread
  LaneTimes take();                    // since the last call

 private:
  std::mutex mutex_;
  LaneTimes times_;
};

}  // namespace strata
