// SPDX-License-Identifier: Apache-2.0
// Ranks as threads of one process: for tests, benchmarks, and one machine without MPI.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/dist/communicator.h"

namespace strata {

// A job of n ranks; element r belongs to rank r and is used by its threads. group() blocks until all members
// have called it. A rank whose world is gone has left: operations that need it end with Error(communication).
std::vector<std::unique_ptr<World>> make_thread_worlds(int n);

// Runs body(world) once per rank, each in a thread of its own, and returns when all have ended. A body that
// throws aborts the job; the first exception is rethrown. `wrap` puts decorators around a rank's world.
void run_ranks(int n, const std::function<void(World&)>& body,
               const std::function<std::unique_ptr<World>(std::unique_ptr<World>)>& wrap = nullptr);

}  // namespace strata
