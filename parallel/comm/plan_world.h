// SPDX-License-Identifier: Apache-2.0
// Any rank of a job of any size, for planning: its communicators work on meta streams only. A plan for ten
// thousand ranks needs none of them.
#pragma once

#include <memory>

#include "core/dist/communicator.h"
#include "parallel/comm/device_world.h"

namespace strata {

// `gpu`: how GPU tensors would travel; their operations' working memory depends on it.
std::unique_ptr<World> make_plan_world(int rank, int size, GpuTransport gpu = GpuTransport::staged);

}  // namespace strata
