// SPDX-License-Identifier: Apache-2.0
// A build without NCCL: GPU tensors go through the host (host_staging.h).
#include "core/base/error.h"
#include "parallel/comm/nccl_world.h"

namespace strata {
namespace {

[[noreturn]] void missing() {
  throw Error(Fault::environment, {.what = "this program was built without NCCL",
                                   .fix = "build it where nccl.h and libnccl are installed (libnccl-dev)"});
}

}  // namespace

bool has_nccl() { return false; }
std::string gpu_identity(const World&, int) { missing(); }
std::unique_ptr<World> nccl_world(World&, std::shared_ptr<Allocator>, int, const NcclOptions&) { missing(); }

}  // namespace strata
