// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/dist/communicator.h"
#include "launch/doctor/facts.h"

namespace strata::doctor {

// The ranks this process was started with, and what can start some. Collective.
JobFacts look_at_job(World& world);

}  // namespace strata::doctor
