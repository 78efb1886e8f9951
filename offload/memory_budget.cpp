// SPDX-License-Identifier: Apache-2.0
#include "offload/memory_budget.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace strata {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// Rounded up, so that what is written into a configuration is enough.
std::string mib(int64_t bytes) { return fmt::format("{} MiB", (bytes + kMiB - 1) / kMiB); }

std::string fix_for(const MemoryBudget& budget, const std::string& raise, int64_t least) {
  std::string fix = fmt::format("{}; {} is the smallest that works with these tiers", raise, mib(least));
  if (budget.smallest_bytes < budget.arena_bytes) fix += ", with offload.prefetch=1";
  return fix + "; or move a class of state to nvme";
}

[[noreturn]] void refuse(const MemoryBudget& budget, const std::string& where, const std::string& found,
                         int64_t needed, const std::string& raise, int64_t least) {
  throw Error(
      Fault::memory,
      {.what = "the plan does not fit in host memory",
       .where = where,
       .found = found,
       .expected = fmt::format(
           "{} for the host tier, {} besides{}", mib(budget.arena_bytes), mib(budget.other_bytes),
           budget.ranks_here > 1 ? fmt::format(", for each of {} ranks: {}", budget.ranks_here, mib(needed))
                                 : fmt::format(": {}", mib(needed))),
       .fix = fix_for(budget, raise, least)});
}

}  // namespace

void require_memory(const HostMemory& memory, const MemoryBudget& budget) {
  if (budget.host_limit != HostMemory::kNoLimit && budget.arena_bytes > budget.host_limit)
    throw Error(Fault::memory, {.what = "the host tier is larger than it may be",
                                .where = "offload.host_limit",
                                .found = mib(budget.host_limit),
                                .expected = mib(budget.arena_bytes),
                                .fix = fix_for(budget, "raise offload.host_limit", budget.smallest_bytes)});
  const int64_t needed = budget.ranks_here * (budget.arena_bytes + budget.other_bytes);
  const int64_t least = budget.ranks_here * (budget.smallest_bytes + budget.other_bytes);
  if (memory.group_limit_bytes != HostMemory::kNoLimit &&
      needed > memory.group_limit_bytes - memory.group_used_bytes)
    refuse(budget, "memory limit of the control group",
           fmt::format("{}, of which {} are in use", mib(memory.group_limit_bytes),
                       mib(memory.group_used_bytes)),
           needed, "raise it (memory.max, docker --memory, Slurm --mem)", least);
  if (needed > memory.available_bytes)
    refuse(budget, "this machine's memory",
           fmt::format("{} available of {}", mib(memory.available_bytes), mib(memory.total_bytes)), needed,
           "free memory or use a larger machine", least);
}

std::vector<std::string> memory_notes(const HostMemory& memory, const MemoryBudget& budget) {
  std::vector<std::string> notes;
  if (memory.locked_limit_bytes != HostMemory::kNoLimit && budget.arena_bytes > memory.locked_limit_bytes)
    notes.push_back(fmt::format(
        "{} may be locked (ulimit -l), the host tier has {}: unless this user may lock more, drives "
        "and GPU copy more slowly; ulimit -l unlimited (systemd: LimitMEMLOCK=infinity; docker: "
        "--ulimit memlock=-1)",
        mib(memory.locked_limit_bytes), mib(budget.arena_bytes)));
  return notes;
}

}  // namespace strata
