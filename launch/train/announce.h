// SPDX-License-Identifier: Apache-2.0
// What a run says of itself before its first step: on the terminal, and at the head of its report.
#pragma once

#include "launch/config/load.h"
#include "launch/metrics/report.h"
#include "launch/train/place.h"
#include "launch/train/run_data.h"
#include "launch/train/run_device.h"

namespace strata {

struct RunFacts {
  const LoadedConfig& loaded;
  const RunData& data;
  const RankPlace& place;
  const RunDevice& device;
  const Model& model;
  const UpdateRule& rule;
  const StepPlan& plan;
  int ranks = 1;
  std::string communication;  // of GPU tensors, in a few words
  double peak_flops = 0;      // of all ranks, per second
  double step_flops = 0;      // of the model's step, all ranks
};

void announce(const RunFacts& facts);  // on standard output
RunSummary summary_of(const RunFacts& facts);

}  // namespace strata
