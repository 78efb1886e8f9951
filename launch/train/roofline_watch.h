// SPDX-License-Identifier: Apache-2.0
// Compares a run's steps with their roofline and says which part keeps them from it. The device's own time is
// measured by the run's first steps; bytes are the plan's, rates those that were found at start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/train/lane_tally.h"
#include "offload/roofline.h"

namespace strata {

class RooflineWatch {
 public:
  static constexpr double kTolerance = 0.15;
  static constexpr int kWindow = 8;     // steps that are judged together, by their median
  static constexpr int kMeasured = 4;   // steps that measure the device, after the first
  static constexpr int kPatience = 64;  // steps between two warnings of one part

  RooflineWatch(const StepLoad& load, const StreamRates& rates) : load_(load), rates_(rates) {}

  // After each step: `seconds` it took. A line for people when the last kWindow steps took more than
  // kTolerance longer than the roofline says; it names the part.
  std::optional<std::string> step(double seconds, const LaneTimes& times);

  // Of the measured device; nothing before it is.
  std::optional<StreamRoofline> roofline() const;

 private:
  struct Sample {
    double seconds;
    LaneTimes times;
  };
  std::string explain(const StreamRoofline& best, const Sample& typical) const;

  StepLoad load_;
  StreamRates rates_;
  std::vector<double> device_s_;
  std::vector<Sample> window_;
  int quiet_for_ = 0;
};

}  // namespace strata
