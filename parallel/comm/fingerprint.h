// SPDX-License-Identifier: Apache-2.0
// Debug mode: before every operation its members compare what they are about to do. Without it, members that
// call different operations hang or mix up their data; with it, each is named with what it called.
#pragma once

#include <memory>

#include "parallel/comm/decorator.h"

namespace strata {

// Doubles every group: comparing has communicators of its own. Kind, type, sizes, reduction, root and note
// must be equal; of an exchange, what is sent to a member and what that one expects, in order. A mismatch
// aborts the job with Error(communication). Costs a small message to every member per operation. A member
// that calls nothing at all is not found here, but by the watchdog.
std::unique_ptr<World> fingerprint_operations(std::unique_ptr<World> world);
// The same around a world that outlives it.
std::unique_ptr<World> fingerprint_around(World& world);
// `world` works on a device; its members compare over `side`, the same ranks on the host's memory, which must
// outlive it.
std::unique_ptr<World> fingerprint_device(std::unique_ptr<World> world, World& side);

}  // namespace strata
