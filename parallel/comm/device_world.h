// SPDX-License-Identifier: Apache-2.0
// The communicators of a run's device: NCCL when every rank of the job has a GPU of its own, through the host
// when ranks share one or this build has no NCCL, the world's own on a CPU.
#pragma once

#include <memory>

#include "core/device/devices.h"
#include "core/dist/communicator.h"

namespace strata {

// Collective over the job. Null when `world` itself serves (a CPU); it must outlive the result. `ordered`:
// sums as core/dist promises them, else NCCL's (nccl_world.h). `why`, if given, says in a few words what was
// chosen.
std::unique_ptr<World> make_device_world(World& world, Device device,
                                         const std::shared_ptr<Allocator>& host_memory, bool ordered,
                                         std::string* why = nullptr);

}  // namespace strata
