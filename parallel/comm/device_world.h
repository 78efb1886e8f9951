// SPDX-License-Identifier: Apache-2.0
// The communicators of a run's device: NCCL when every rank of the job has a GPU of its own, through the host
// when ranks share one or this build has no NCCL, the world's own on a CPU.
#pragma once

#include <memory>

#include "core/device/devices.h"
#include "core/dist/communicator.h"

namespace strata {

// How a GPU's tensors travel among the ranks of a job. nccl: ordered sums are added up by the members, for
// which they take working memory of the GPU; all others take none of it.
enum class GpuTransport { staged, nccl, nccl_ordered };

// Working memory of the GPU that `op` takes among `members`.
int64_t gpu_scratch(GpuTransport transport, const Collective& op, int members);

// What make_device_world() chooses where every rank has a GPU of its own.
GpuTransport planned_gpu_transport(bool ordered);

// Collective over the job. Null when `world` itself serves (a CPU); it must outlive the result. `ordered`:
// sums as core/dist promises them, else NCCL's (nccl_world.h). `why`, if given, says in a few words what was
// chosen.
std::unique_ptr<World> make_device_world(World& world, Device device,
                                         const std::shared_ptr<Allocator>& host_memory, bool ordered,
                                         std::string* why = nullptr);

}  // namespace strata
