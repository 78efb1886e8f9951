// SPDX-License-Identifier: Apache-2.0
// The engine for files in memory: no threads, requests take effect and end in an order drawn from a seed,
// when the caller waits or looks. The worst the contract of AsyncIo allows, and repeatable. Internal to
// core/io.
#pragma once

#include <cstdint>
#include <memory>

#include "core/io/io_backend.h"

namespace strata {

std::unique_ptr<IoBackend> make_memory_backend(uint64_t seed);

}  // namespace strata
