// SPDX-License-Identifier: Apache-2.0
// The crash enumeration of save_fault_test.cpp at length: every call, several losses, at least 1,000 crashes.
#include "tests/checkpoint/save_faults.h"

namespace strata {
namespace {

TEST(SaveCrashTest, AtLeastAThousandPoints) {
  using Survival = MemoryFileSystem::Survival;
  int crashes = 0;
  for (const int ranks : {1, 2, 8}) {
    for (const Survival survival : {Survival::none, Survival::all})
      crashes += crash_everywhere(ranks, survival);
    for (uint64_t seed = 1; seed <= 4; ++seed) crashes += crash_everywhere(ranks, Survival::by_seed, seed);
  }
  EXPECT_GE(crashes, 1000);
  std::printf("  %d crashes in all\n", crashes);
}

}  // namespace
}  // namespace strata
