// SPDX-License-Identifier: Apache-2.0
// Collectives of GPU tensors by NCCL, over a world that knows the host's memory alone: it brings the ranks
// together and carries what lies on the host.
//
// Moves (all_gather, all_to_all, broadcast, exchange) give the same bits as any other communicator, and so do
// sums of i64. Sums and maxima of f32 and bf16: when `ordered`, members exchange slices and add them up
// themselves, in the tree that core/dist promises; otherwise by NCCL's own algorithm, which is faster, adds
// bf16 in bf16, in an order that depends on the number of ranks and the machine, and whose maximum may lose a
// NaN.
//
// Operands of an operation lie all on the GPU or, on every member alike, any on the host (then it goes
// through host_staging.h); both ends of an exchange's message lie in memory of the same kind.
//
// A call returns when NCCL has put its kernels on the stream. When the job is aborted, or NCCL finds a fault,
// its kernels end, so that whoever waits for the stream is freed: what they computed then is garbage, and the
// next operation throws. A member that NCCL waits for in vain is the watchdog's to find.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/device/buffer.h"
#include "core/dist/communicator.h"

namespace strata {

struct NcclOptions {
  bool ordered = true;
  std::chrono::milliseconds join_limit{std::chrono::minutes(5)};  // for the members of a group to connect
};

// Whether this program was built with NCCL (nccl/, or no_nccl.cpp).
bool has_nccl();

// Host and PCI address: two ranks with the same one share a GPU, which NCCL does not support.
std::string gpu_identity(const World& world, int gpu);

// `world` with communicators that take streams of `gpu` and of the host. `world` must outlive it; memory of
// `host_memory` is where the copies of host_staging.h do not wait. Throws Error(environment) without NCCL; a
// group whose members do not connect throws Error(communication) and aborts the job.
std::unique_ptr<World> nccl_world(World& world, std::shared_ptr<Allocator> host_memory, int gpu,
                                  const NcclOptions& options);

}  // namespace strata
