// SPDX-License-Identifier: Apache-2.0
// What a planned step moves and works, for its roofline (offload/roofline.h). Bytes are the program's own.
#pragma once

#include <span>

#include "core/step/step_plan.h"
#include "offload/drive_probe.h"
#include "offload/roofline.h"

namespace strata {

// Of one rank. `device_s`: the compute lane's work at the plan's rates, until a run has measured it.
StepLoad step_load(const StepPlan& plan);

// Bytes per second of links and drives as the plan takes them.
StreamRates stream_rates(const Rates& rates);
// Rates with drives as they were found: tiles are dealt over all of them by speed, so that they end together.
// Those of a drive that had no room to be tried stay.
Rates with_drives(Rates rates, std::span<const DriveProbe> drives);

}  // namespace strata
