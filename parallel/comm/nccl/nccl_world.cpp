// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/nccl_world.h"

#include <array>
#include <cstring>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/cuda/cuda_error.h"
#include "parallel/comm/host_staging.h"
#include "parallel/comm/nccl/nccl_communicator.h"

namespace strata {
namespace {

// The name of a new NCCL communicator: the first member makes it and tells the others.
ncclUniqueId shared_id(Communicator& host) {
  ncclUniqueId id{};
  ncclResult_t made = ncclSuccess;
  if (host.rank() == 0) made = ncclGetUniqueId(&id);
  // One byte more says how it went, so that nobody waits for a member that failed and all tell the same.
  std::array<uint8_t, sizeof(id.internal) + 1> bytes{};
  std::memcpy(bytes.data(), id.internal, sizeof(id.internal));
  bytes.back() = static_cast<uint8_t>(made);
  WorkerPool pool(1);
  CpuStream stream(pool);
  host.broadcast(stream, Tensor::borrow(bytes.data(), DType::u8, {static_cast<int64_t>(bytes.size())}), 0);
  made = static_cast<ncclResult_t>(bytes.back());
  if (made != ncclSuccess)
    throw Error(Fault::communication,
                {.what = fmt::format("NCCL could not begin on the first rank of \"{}\"", host.spec().purpose),
                 .where = fmt::format("rank {}", host.spec().members.front()),
                 .found = ncclGetErrorString(made),
                 .fix = "check that NCCL_SOCKET_IFNAME names an interface of that host; NCCL_DEBUG=WARN says "
                        "more"});
  std::memcpy(id.internal, bytes.data(), sizeof(id.internal));
  return id;
}

}  // namespace

bool has_nccl() { return true; }

std::string gpu_identity(const World& world, int gpu) {
  std::array<char, 32> address{};
  cuda_check(cudaDeviceGetPCIBusId(address.data(), static_cast<int>(address.size()), gpu),
             "cudaDeviceGetPCIBusId");
  return fmt::format("{}/{}", world.host(), address.data());
}

// Groups connect when they are made, which all members do in the same order: connecting at the first use
// could wait in a circle.
std::unique_ptr<World> nccl_world(World& world, std::shared_ptr<Allocator> host_memory, int gpu,
                                  const NcclOptions& options) {
  return decorate(
      stage_on_host(world, std::move(host_memory)),
      [&world, gpu, options](World&, std::unique_ptr<Communicator> host) -> std::unique_ptr<Communicator> {
        if (host->size() == 1) return host;
        auto link = std::make_unique<NcclLink>(world, *host, gpu, shared_id(*host), options.join_limit);
        return std::make_unique<NcclCommunicator>(std::move(host), std::move(link), options.ordered);
      });
}

}  // namespace strata
