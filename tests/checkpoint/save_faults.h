// SPDX-License-Identifier: Apache-2.0
// A crash at chosen I/O calls of a save, and what the next job finds. Un-synced bytes and names are lost in
// every combination. Never a wrong load, never a lost committed step.
#pragma once

#include <gmock/gmock.h>

#include "core/io/memory_file_system.h"
#include "tests/checkpoint/save_job.h"

namespace strata {

// Step 1 is committed; step 2 is saved with a fault; rank 0's result of it.
struct Attempt {
  std::unique_ptr<MemoryFileSystem> files;
  SaveResult::State second = SaveResult::State::idle;
  bool ended = false;  // without an exception
  std::string message;
};

inline Attempt attempt(int ranks, const MemoryFileSystem::Options& options, const IoFault& fault) {
  Attempt attempt{.files = std::make_unique<MemoryFileSystem>(options)};
  MemoryFileSystem& files = *attempt.files;
  run_peers(ranks, [&](Peers& peers) {
    Saver saver(files, peers, test_options());
    EXPECT_EQ(save_step(saver, peers, 1).state, SaveResult::State::committed);
    if (peers.leads()) files.inject(fault);
    peers.all(0);
    const SaveResult result = save_step(saver, peers, 2);
    if (!peers.leads()) return;
    attempt.second = result.state;
    attempt.message = result.message;
    attempt.ended = true;
  });
  return attempt;
}

// Crashes at calls 0, stride, 2 stride, ... of the save of step 2; how many there were.
inline int crash_everywhere(int ranks, MemoryFileSystem::Survival survival, uint64_t seed = 0,
                            int64_t stride = 1) {
  int crashes = 0, committed = 0, second = 0;
  for (int64_t at = 0;; at += stride) {
    SCOPED_TRACE(testing::Message() << ranks << " ranks, crash at call " << at);
    Attempt a = attempt(ranks, {.survival = survival, .seed = seed * 100000 + static_cast<uint64_t>(at)},
                        {.kind = IoFault::Kind::crash, .at = at});
    EXPECT_TRUE(a.ended);
    MemoryFileSystem& files = *a.files;
    if (!files.crashed()) {
      EXPECT_EQ(a.second, SaveResult::State::committed);
      break;
    }
    ++crashes;
    files.reboot();
    const StepChoice choice = choose_step(files, kRun);
    EXPECT_TRUE(choice.folder) << choice.why;
    if (!choice.folder) break;
    EXPECT_THAT(choice.passed_over, testing::IsEmpty());
    if (a.second == SaveResult::State::committed) {
      EXPECT_EQ(choice.folder->step, 2) << "a committed step was lost";
      ++committed;
    }
    second += choice.folder->step == 2;
    expect_step(files, choice.folder->path, ranks, choice.folder->step);
    if (testing::Test::HasFailure()) break;
    // The next job cleans up and saves.
    run_peers(ranks, [&](Peers& peers) {
      Saver saver(files, peers, test_options());
      EXPECT_THAT(list_unfinished(files, kRun), testing::IsEmpty());
      EXPECT_EQ(save_step(saver, peers, 3).state, SaveResult::State::committed);
    });
    expect_step(files, step_folder(kRun, 3), ranks, 3);
    if (testing::Test::HasFailure()) break;
  }
  std::printf("  %d ranks: %d crashes, step 2 there after %d, reported after %d\n", ranks, crashes, second,
              committed);
  EXPECT_GT(second, 0);
  EXPECT_LT(second, crashes);
  return crashes;
}

}  // namespace strata
