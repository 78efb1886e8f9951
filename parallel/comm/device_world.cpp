// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/device_world.h"

#include <numeric>
#include <set>

#include "core/base/hash.h"
#include "core/device/cpu/cpu_stream.h"
#include "parallel/comm/byte_collectives.h"
#include "parallel/comm/host_staging.h"
#include "parallel/comm/nccl_world.h"

namespace strata {
namespace {

// Whether no two ranks work on the same GPU; every rank gets the same answer.
bool gpus_are_distinct(World& world, int gpu) {
  std::vector<int> all(static_cast<size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  const auto everyone =
      world.group({.purpose = "GPUs", .members = std::move(all), .level = LinkLevel::world});
  std::vector<int64_t> identities(static_cast<size_t>(world.size()));
  const Tensor whole = Tensor::borrow(identities.data(), DType::i64, {world.size()});
  identities[static_cast<size_t>(world.rank())] = static_cast<int64_t>(hash_name(gpu_identity(world, gpu)));
  WorkerPool pool(1);
  CpuStream stream(pool);
  everyone->all_gather(stream, whole.slice(0, world.rank(), 1), whole);
  stream.synchronize();
  return std::set(identities.begin(), identities.end()).size() == identities.size();
}

}  // namespace

int64_t gpu_scratch(GpuTransport transport, const Collective& op, int members) {
  const bool reduces = op.kind == CollectiveKind::reduce_scatter || op.kind == CollectiveKind::all_reduce;
  // Integers are the same in any order. The slices are those of the host's sums.
  const bool adds_slices =
      transport == GpuTransport::nccl_ordered && reduces && op.from.dtype() != DType::i64;
  return adds_slices ? byte_collective_scratch(op, members) : 0;
}

GpuTransport planned_gpu_transport(bool ordered) {
  if (!has_nccl()) return GpuTransport::staged;
  return ordered ? GpuTransport::nccl_ordered : GpuTransport::nccl;
}

std::unique_ptr<World> make_device_world(World& world, Device device,
                                         const std::shared_ptr<Allocator>& host_memory, bool ordered,
                                         std::string* why) {
  const auto say = [why](const char* text) {
    if (why) *why = text;
  };
  if (device.kind != DeviceKind::cuda) {
    say("the host's communicators");
    return nullptr;
  }
  if (world.size() > 1 && has_nccl() && gpus_are_distinct(world, device.index)) {
    say("NCCL");
    return nccl_world(world, host_memory, device.index, {.ordered = ordered});
  }
  say(!has_nccl()         ? "copies through the host (built without NCCL)"
      : world.size() == 1 ? "one rank"
                          : "copies through the host (ranks share a GPU)");
  return stage_on_host(world, host_memory);
}

}  // namespace strata
