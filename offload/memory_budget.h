// SPDX-License-Identifier: Apache-2.0
// Whether a plan's memory fits this machine, judged before anything is allocated: against offload.host_limit,
// the control group, what is available, what may be locked. A pure function, so that every verdict can be
// tested.
#pragma once

#include <string>
#include <vector>

#include "core/device/host_memory.h"

namespace strata {

struct MemoryBudget {
  int64_t arena_bytes = 0;     // of the host tier, of one rank; locked
  int64_t smallest_bytes = 0;  // of an arena of the same tiers with the shortest prefetch
  int64_t other_bytes = 0;     // that the rank needs besides: process, data, on a CPU the device tier
  int64_t host_limit = HostMemory::kNoLimit;  // offload.host_limit: of the arena
  int ranks_here = 1;                         // on this machine
};

// Throws Error(memory): which limit is too small, what is needed, the smallest that works.
void require_memory(const HostMemory& memory, const MemoryBudget& budget);

// What costs time but works: an arena that cannot be locked. Empty when all is well.
std::vector<std::string> memory_notes(const HostMemory& memory, const MemoryBudget& budget);

}  // namespace strata
