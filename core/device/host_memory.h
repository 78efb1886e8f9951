// SPDX-License-Identifier: Apache-2.0
// What Linux says of this process's memory: the machine's, the control group's, what may be locked. Read here
// alone, judged elsewhere. Nothing throws: what cannot be read is absent or without limit.
#pragma once

#include <cstdint>
#include <string>

namespace strata {

struct HostMemory {
  static constexpr int64_t kNoLimit = -1;

  int64_t total_bytes = 0;
  int64_t available_bytes = 0;           // without swapping: MemAvailable
  int64_t group_limit_bytes = kNoLimit;  // the smallest of the control groups this process is in
  int64_t group_used_bytes = 0;  // of that group now, without what the kernel can drop from its page cache
  int64_t locked_limit_bytes =
      kNoLimit;            // RLIMIT_MEMLOCK; not counted for who may lock without (CAP_IPC_LOCK)
  std::string huge_pages;  // transparent ones: "always", "madvise", "never"; empty: not known

  // That this process may still take.
  int64_t free_bytes() const;
};

HostMemory look_at_host_memory();

}  // namespace strata
