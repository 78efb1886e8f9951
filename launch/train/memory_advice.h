// SPDX-License-Identifier: Apache-2.0
// Whether a step fits into the memory it may use, judged before anything is allocated; if not, one message
// with the smallest limit that works and the changes of the configuration that cost the least time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/device/host_memory.h"
#include "core/step/step_plan.h"
#include "launch/config/config.h"

namespace strata {

// Plans of variants of a configuration on this rank: everything but where state lives and what is recomputed
// stays.
using PlanOptionsOf = std::function<StepPlanOptions(const Config&)>;

struct MemoryChange {
  std::string keys;  // as on a command line
  int64_t device_bytes = 0, host_bytes = 0;
  double step_seconds = 0;  // simulated
};
// Every known change of `config`, without regard to limits, the fastest first.
std::vector<MemoryChange> memory_changes(const Config& config, const Model& model,
                                         const PlanOptionsOf& options);

// StepPlan(model, options(config)), with a better message where a limit of [offload] is too small.
StepPlan plan_within_limits(const Config& config, const Model& model, const PlanOptionsOf& options);

// Throws Error(memory) when the plan's arenas, of each of `ranks_here` ranks, do not fit into what this
// machine and this process's control group have left.
void require_fits(const HostMemory& memory, const StepPlan& plan, int ranks_here, const Config& config,
                  const PlanOptionsOf& options);

}  // namespace strata
