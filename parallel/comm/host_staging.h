// SPDX-License-Identifier: Apache-2.0
// Collectives of a device's tensors over a world that knows the host's memory alone: operands are copied to
// the host, the inner world's operation runs there, the result is copied back. The caller waits for the copy
// and for the others. For ranks that share a GPU, and for clusters without a library that reaches GPUs.
#pragma once

#include <memory>

#include "core/device/buffer.h"
#include "core/dist/communicator.h"

namespace strata {

// `world` with communicators that take streams of any device, and operands of it or of the host. Both
// references must outlive it; `host_memory` is where the device's copies do not wait.
std::unique_ptr<World> stage_on_host(World& world, std::shared_ptr<Allocator> host_memory);

}  // namespace strata
