// SPDX-License-Identifier: Apache-2.0
// A crash, a full disk and a failing disk at every I/O call of a save on 1, 2 and 8 ranks, HDF5's own calls
// included. Un-synced bytes and names are lost in every combination. Never a wrong load, never a lost
// committed step.
#include "core/base/error.h"
#include "tests/checkpoint/save_faults.h"

namespace strata {
namespace {

using State = SaveResult::State;
using Survival = MemoryFileSystem::Survival;

TEST(SaveFaultTest, CrashAtEveryCall) {
  EXPECT_GT(crash_everywhere(1, Survival::by_seed), 60);
  EXPECT_GT(crash_everywhere(1, Survival::none), 60);
  EXPECT_GT(crash_everywhere(2, Survival::by_seed), 80);
  EXPECT_GT(crash_everywhere(8, Survival::by_seed, 0, 3), 60);
}

// A crash while an old checkpoint goes, after the commit: the new ones stay, and the next start removes the
// rest.
TEST(SaveFaultTest, CrashWhileTheOldestIsRemoved) {
  int crashes = 0;
  for (int64_t at = 0;; ++at) {
    SCOPED_TRACE(testing::Message() << "crash at call " << at);
    MemoryFileSystem files({.survival = Survival::by_seed, .seed = static_cast<uint64_t>(at)});
    State third = State::idle;
    run_peers(2, [&](Peers& peers) {
      Saver saver(files, peers, test_options());
      for (const int64_t step : {1, 2}) EXPECT_EQ(save_step(saver, peers, step).state, State::committed);
      if (peers.leads()) files.inject({.kind = IoFault::Kind::crash, .at = at, .path = ".deleted-"});
      peers.all(0);
      const State state = save_step(saver, peers, 3).state;
      if (peers.leads()) third = state;
    });
    EXPECT_EQ(third, State::committed);  // what goes afterwards cannot undo it
    if (!files.crashed()) break;
    ++crashes;
    files.reboot();
    EXPECT_EQ(choose_step(files, kRun).folder->step, 3);
    for (const int64_t step : {2, 3}) expect_step(files, step_folder(kRun, step), 2, step);
    run_peers(2, [&](Peers& peers) {
      Saver saver(files, peers, test_options());
      if (peers.leads()) EXPECT_THAT(list_unfinished(files, kRun), testing::IsEmpty());
      EXPECT_EQ(save_step(saver, peers, 4).state, State::committed);
    });
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(crashes, 4);
}

// A failing call fails the save at most: the job and its checkpoints go on, and the next save succeeds.
int fail_everywhere(int ranks, int code, IoCall call) {
  int failures = 0;
  for (int64_t at = 0;; ++at) {
    SCOPED_TRACE(testing::Message() << ranks << " ranks, call " << at << " fails with "
                                    << io_code_text(code));
    MemoryFileSystem files;
    State second = State::idle;
    std::string message;
    run_peers(ranks, [&](Peers& peers) {
      Saver saver(files, peers, test_options());
      EXPECT_EQ(save_step(saver, peers, 1).state, State::committed);
      if (peers.leads()) files.inject({.kind = IoFault::Kind::error, .at = at, .call = call, .code = code});
      peers.all(0);
      const SaveResult result = save_step(saver, peers, 2);
      if (peers.leads()) {
        second = result.state;
        message = result.message;
        files.clear_faults();
      }
      peers.all(0);
      EXPECT_EQ(save_step(saver, peers, 3).state, State::committed);
    });
    expect_step(files, step_folder(kRun, 3), ranks, 3);
    if (second == State::failed) {
      ++failures;
      EXPECT_THAT(message, testing::HasSubstr(io_code_text(code)));
      EXPECT_EQ(files.info(step_folder(kRun, 2)), std::nullopt);
      expect_step(files, step_folder(kRun, 1), ranks, 1);
    } else {
      EXPECT_EQ(second, State::committed);
      if (at > 1000 || (failures > 0 && at > failures + 60)) break;
    }
    if (testing::Test::HasFailure()) break;
  }
  return failures;
}

TEST(SaveFaultTest, EveryFailedCallLeavesTheJobGoing) {
  EXPECT_GT(fail_everywhere(1, EIO, IoCall::any), 40);
  EXPECT_GT(fail_everywhere(2, ENOSPC, IoCall::any), 60);
  EXPECT_GT(fail_everywhere(2, EIO, IoCall::sync), 3);
  EXPECT_GT(fail_everywhere(1, ENOSPC, IoCall::write), 10);
}

TEST(SaveFaultTest, AFullDiskIsKnownBeforeTheSnapshot) {
  for (const int ranks : {1, 2}) {
    MemoryFileSystem files({.capacity_bytes = 60000});
    run_peers(ranks, [&](Peers& peers) {
      Saver saver(files, peers, test_options());
      EXPECT_EQ(save_step(saver, peers, 1).state, State::committed);
      if (peers.leads())
        files.open("/filler", OpenMode::create)->truncate(files.volume("/").free_bytes - 10000);
      peers.all(0);
      RankState state(peers.rank(), peers.size(), 2);
      const SaveResult full = saver.begin({.step = 2, .items = state.items()});
      EXPECT_EQ(full.state, State::failed);
      EXPECT_THAT(full.message, testing::HasSubstr("ENOSPC"));
      if (peers.leads()) {
        EXPECT_GT(files.volume("/").free_bytes, 9000);  // given back
        files.remove("/filler");
      }
      peers.all(0);
      EXPECT_EQ(save_step(saver, peers, 2).state, State::committed);
    });
    expect_step(files, step_folder(kRun, 2), ranks, 2);
  }
}

}  // namespace
}  // namespace strata
