// SPDX-License-Identifier: Apache-2.0
// The host tier's memory: exact, resident, locked where allowed; and budgets that say what is too small and
// what would do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <fstream>

#include "core/base/error.h"
#include "offload/memory_budget.h"
#include "offload/pinned_memory.h"
#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kMiB = int64_t{1} << 20;

int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

TEST(PinnedMemory, IsExactZeroedAlignedAndThere) {
  make_pinned_allocator()->allocate(1, "first");  // its code becomes resident, too
  for (const int64_t bytes :
       {int64_t{1}, int64_t{4096}, int64_t{4097}, 2 * kMiB, 33 * kMiB + 4096, 64 * kMiB}) {
    const auto allocator = make_pinned_allocator();
    const int64_t before = resident_bytes(), whole = (bytes + 4095) / 4096 * 4096;
    const BufferRef buffer = allocator->allocate(bytes, "host arena");
    EXPECT_NEAR(resident_bytes() - before, whole, 0.02 * whole + 512 * 1024);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % (bytes >= 2 * kMiB ? 2 * kMiB : 4096), 0u);
    EXPECT_TRUE(
        std::all_of(buffer->data(), buffer->data() + bytes, [](std::byte b) { return b == std::byte{0}; }));
    EXPECT_EQ(buffer->bytes(), bytes);
    const PinnedMemoryReport report = allocator->report();
    EXPECT_EQ(report.bytes, whole);
    EXPECT_LE(report.huge_bytes, whole);
    EXPECT_LE(report.locked_bytes, whole);
    if (report.locked_bytes < whole || report.huge_bytes < whole / (2 * kMiB) * (2 * kMiB)) {
      EXPECT_FALSE(report.notes.empty());
    }
    EXPECT_EQ(allocator->total().bytes, whole);
  }
}

TEST(PinnedMemory, GivesAllBack) {
  const auto allocator = make_pinned_allocator();
  const int64_t before = resident_bytes();
  for (int round = 0; round < 5; ++round) allocator->allocate(40 * kMiB, "host arena");
  EXPECT_LT(resident_bytes() - before, 4 * kMiB);
  EXPECT_EQ(allocator->total().bytes, 0);
  EXPECT_EQ(allocator->total().count, 5);
}

TEST(PinnedMemory, WhatIsNotThereIsAnErrorNow) {
  const auto allocator = make_pinned_allocator();
  EXPECT_THAT(message_of([&] { allocator->allocate(int64_t{1} << 46, "host arena"); }),
              AllOf(HasSubstr("no host memory for 'host arena'"), HasSubstr("70368744177664 bytes asked for"),
                    HasSubstr("[offload]")));
  EXPECT_EQ(allocator->total().bytes, 0);
}

TEST(HostMemory, IsWhatTheKernelSays) {
  const HostMemory memory = look_at_host_memory();
  EXPECT_GT(memory.total_bytes, 64 * kMiB);
  EXPECT_LE(memory.available_bytes, memory.total_bytes);
  EXPECT_LE(memory.free_bytes(), memory.available_bytes);
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  EXPECT_EQ(memory.locked_limit_bytes,
            limit.rlim_cur == RLIM_INFINITY ? HostMemory::kNoLimit : static_cast<int64_t>(limit.rlim_cur));
  HostMemory group{.available_bytes = 100, .group_limit_bytes = 80, .group_used_bytes = 30};
  EXPECT_EQ(group.free_bytes(), 50);
  group.group_used_bytes = 90;
  EXPECT_EQ(group.free_bytes(), 0);
}

HostMemory machine() { return {.total_bytes = 1000 * kMiB, .available_bytes = 800 * kMiB}; }
MemoryBudget budget() {
  return {.arena_bytes = 500 * kMiB, .smallest_bytes = 200 * kMiB, .other_bytes = 100 * kMiB};
}
std::string refusal(const HostMemory& memory, const MemoryBudget& budget) {
  return message_of([&] { require_memory(memory, budget); });
}

TEST(MemoryBudget, WhatFitsPasses) {
  EXPECT_EQ(refusal(machine(), budget()), "no exception");
  MemoryBudget exact = budget();
  exact.arena_bytes = 700 * kMiB;
  EXPECT_EQ(refusal(machine(), exact), "no exception");
  exact.host_limit = 700 * kMiB;
  EXPECT_EQ(refusal(machine(), exact), "no exception");
}

TEST(MemoryBudget, EachLimitIsNamedWithTheSmallestThatWorks) {
  MemoryBudget over = budget();
  over.host_limit = 499 * kMiB;
  EXPECT_THAT(refusal(machine(), over),
              AllOf(HasSubstr("offload.host_limit"), HasSubstr("499 MiB"), HasSubstr("500 MiB"),
                    HasSubstr("200 MiB is the smallest that works"), HasSubstr("offload.prefetch=1")));
  HostMemory group = machine();
  group.group_limit_bytes = 650 * kMiB, group.group_used_bytes = 51 * kMiB;
  EXPECT_THAT(refusal(group, budget()),
              AllOf(HasSubstr("control group"), HasSubstr("650 MiB, of which 51 MiB are in use"),
                    HasSubstr("600 MiB"), HasSubstr("300 MiB is the smallest"), HasSubstr("memory.max")));
  group.group_used_bytes = 50 * kMiB;
  EXPECT_EQ(refusal(group, budget()), "no exception");
  MemoryBudget ranks = budget();
  ranks.ranks_here = 2;
  EXPECT_THAT(refusal(machine(), ranks),
              AllOf(HasSubstr("800 MiB available of 1000 MiB"), HasSubstr("each of 2 ranks: 1200 MiB"),
                    HasSubstr("600 MiB is the smallest")));
  ranks.smallest_bytes = ranks.arena_bytes;
  EXPECT_THAT(refusal(machine(), ranks), testing::Not(HasSubstr("prefetch")));
}

TEST(MemoryBudget, WhatCannotBeLockedIsANote) {
  HostMemory memory = machine();
  EXPECT_THAT(memory_notes(memory, budget()), IsEmpty());
  memory.locked_limit_bytes = 8 * kMiB;
  EXPECT_THAT(memory_notes(memory, budget()),
              testing::ElementsAre(AllOf(HasSubstr("8 MiB"), HasSubstr("500 MiB"), HasSubstr("ulimit -l"))));
  memory.locked_limit_bytes = 500 * kMiB;
  EXPECT_THAT(memory_notes(memory, budget()), IsEmpty());
}

}  // namespace
}  // namespace strata
