// SPDX-License-Identifier: Apache-2.0
// Saves of a job of 1, 2, 3 and 8 ranks that all goes well, and what a caller may get wrong.
#include "checkpoint/saver.h"

#include <gmock/gmock.h>

#include <atomic>

#include "checkpoint/save_probe.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/save_job.h"

namespace strata {
namespace {

using State = SaveResult::State;
using testing::HasSubstr;

TEST(SaverTest, EveryNumberOfRanksSavesTheSame) {
  for (const int ranks : {1, 2, 3, 8}) {
    MemoryFileSystem files;
    run_peers(ranks, [&](Peers& peers) {
      Saver saver(files, peers, test_options());
      for (const int64_t step : {10, 20}) {
        const SaveResult result = save_step(saver, peers, step);
        EXPECT_EQ(result.state, State::committed) << result.message;
        EXPECT_GT(result.bytes, 0);
        EXPECT_EQ(result.path, step_folder(kRun, step));
      }
      EXPECT_EQ(saver.poll().state, State::idle);
    });
    for (const int64_t step : {10, 20}) expect_step(files, step_folder(kRun, step), ranks, step);
    EXPECT_EQ(read_file(files, kRun + "/latest"), "step-00000020\n");
    EXPECT_THAT(list_unfinished(files, kRun), testing::IsEmpty());
  }
}

TEST(SaverTest, OnDiskToo) {
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  SaverOptions options = test_options();
  options.directory = folder.path() + "/out/checkpoints";
  run_peers(3, [&](Peers& peers) {
    probe_saving(*files, peers, options, 1 << 20);
    Saver saver(*files, peers, options);
    EXPECT_EQ(save_step(saver, peers, 5).state, State::committed);
  });
  expect_step(*files, step_folder(options.directory, 5), 3, 5);
  EXPECT_THAT(*files->list(options.directory), testing::ElementsAre("latest", "owner", "step-00000005"));
}

TEST(SaverTest, ASmallPoolChangesNothing) {
  for (const int64_t pool : {0, 4096, 9000}) {
    MemoryFileSystem files;
    SaverOptions options = test_options();
    options.pool_bytes = pool;
    run_peers(2, [&](Peers& peers) {
      Saver saver(files, peers, options);
      EXPECT_EQ(save_step(saver, peers, 3).state, State::committed);
    });
    expect_step(files, step_folder(kRun, 3), 2, 3);
  }
}

TEST(SaverTest, ReservedAheadOrForAnotherStep) {
  MemoryFileSystem files;
  run_peers(2, [&](Peers& peers) {
    Saver saver(files, peers, test_options());
    const RankState state(peers.rank(), peers.size(), 1);
    saver.reserve(1, state.items());
    EXPECT_EQ(save_step(saver, peers, 1).state, State::committed);
    saver.reserve(2, state.items());
    EXPECT_EQ(save_step(saver, peers, 3).state, State::committed);
    EXPECT_EQ(save_step(saver, peers, 3).state, State::present);
    EXPECT_EQ(save_step(saver, peers, 4).state, State::committed);
  });
  expect_step(files, step_folder(kRun, 3), 2, 3);
  EXPECT_THAT(list_unfinished(files, kRun), testing::IsEmpty());
}

TEST(SaverTest, OneInFlight) {
  MemoryFileSystem files;
  files.inject({.kind = IoFault::Kind::delay,
                .times = 3,
                .call = IoCall::sync,
                .path = "shard",
                .delay = std::chrono::milliseconds(100)});
  run_peers(2, [&](Peers& peers) {
    Saver saver(files, peers, test_options());
    const RankState state(peers.rank(), peers.size(), 1);
    EXPECT_EQ(saver.begin({.step = 1, .meta = {{"step", 1}}, .items = state.items()}).state, State::writing);
    EXPECT_EQ(saver.begin({.step = 2, .items = state.items()}).state, State::busy);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(saver.poll().state, State::writing);
    EXPECT_LT(std::chrono::steady_clock::now() - start,
              std::chrono::milliseconds(90));  // polling waits for no disk
    EXPECT_EQ(saver.finish(0.01).state, State::writing);  // a slow disk: the caller goes on
    EXPECT_EQ(saver.finish().state, State::committed);
    EXPECT_FALSE(saver.in_flight());
  });
}

TEST(SaverTest, RetentionKeepsTheNewestAndNeverFewerThanTwo) {
  MemoryFileSystem files;
  run_peers(1, [&](Peers& peers) {
    SaverOptions options = test_options();
    options.keep = 1;
    Saver saver(files, peers, options);
    for (int64_t step = 1; step <= 5; ++step) {
      const SaveResult result = save_step(saver, peers, step);
      EXPECT_EQ(result.removed.size(), step > 2 ? 1u : 0u);
    }
    ASSERT_EQ(list_steps(files, kRun).size(), 2u);
    // A damaged one does not count: the two whole ones stay beside it.
    replace_file(files, step_folder(kRun, 5) + "/manifest.json", "{}");
    save_step(saver, peers, 6);
  });
  std::vector<int64_t> left;
  for (const StepFolder& step : list_steps(files, kRun)) left.push_back(step.step);
  EXPECT_THAT(left, testing::ElementsAre(4, 5, 6));
  const StepChoice choice = choose_step(files, kRun);
  EXPECT_EQ(choice.folder->step, 6);
}

TEST(SaverTest, ADamagedCheckpointOfTheStepIsReplaced) {
  MemoryFileSystem files;
  run_peers(2, [&](Peers& peers) {
    Saver saver(files, peers, test_options());
    save_step(saver, peers, 1);
    if (peers.leads()) files.remove(step_folder(kRun, 1) + "/shard-00000.h5");
    EXPECT_EQ(save_step(saver, peers, 1).state, State::committed);
  });
  expect_step(files, step_folder(kRun, 1), 2, 1);
}

TEST(SaverTest, ReplicasThatDifferAreRefusedByName) {
  MemoryFileSystem files;
  run_peers(4, [&](Peers& peers) {
    Saver saver(files, peers, test_options());
    RankState state(peers.rank(), peers.size(), 1);
    if (peers.rank() == 2) state.bytes(2)[5] ^= std::byte{1};  // "norm"
    SaveResult result = saver.begin({.step = 1, .items = state.items()});
    result = saver.finish();
    EXPECT_EQ(result.state, State::failed);
    EXPECT_THAT(result.message,
                testing::AllOf(HasSubstr("'norm' (param)"), HasSubstr("ranks"), HasSubstr("2")));
    EXPECT_EQ(save_step(saver, peers, 2).state, State::committed);
  });
  EXPECT_EQ(list_steps(files, kRun).size(), 1u);
}

TEST(SaverTest, StateThatIsNotWholeIsRefusedBeforeAnythingIsWritten) {
  MemoryFileSystem files;
  std::atomic<int> refused = 0;
  run_peers(2, [&](Peers& peers) {
    Saver saver(files, peers, test_options());
    RankState state(peers.rank(), peers.size(), 1);
    auto items = state.items();
    if (peers.rank() == 1) items[0].rect.extent.set(0, items[0].rect.extent[0] - 1);
    try {
      saver.begin({.step = 1, .items = items});
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("'rows'"), HasSubstr("in 0 parts")));
      ++refused;
    }
    items = state.items();
    if (peers.rank() == 1) items[0].tensor.type = ElementType::i32;
    try {
      saver.begin({.step = 1, .items = items});
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("ranks disagree"));
      ++refused;
    }
    EXPECT_EQ(save_step(saver, peers, 1).state, State::committed);
  });
  EXPECT_EQ(refused, 4);
}

TEST(SaverTest, TwoJobsInOneFolder) {
  MemoryFileSystem files;
  const auto peers = make_solo_peers();
  Saver first(files, *peers, test_options());
  save_step(first, *peers, 1);
  const RankState state(0, 1, 2);
  ASSERT_EQ(first.begin({.step = 2, .meta = {{"step", 2}}, .items = state.items()}).state, State::writing);
  Saver second(files, *peers, test_options());  // relaunched while the first still runs
  EXPECT_EQ(first.finish().state, State::failed);
  const SaveResult late = save_step(first, *peers, 3);
  EXPECT_EQ(late.state, State::failed);
  EXPECT_THAT(late.message, HasSubstr("another job saves into this folder"));
  EXPECT_EQ(save_step(second, *peers, 4).state, State::committed);
  std::vector<int64_t> left;
  for (const StepFolder& step : list_steps(files, kRun)) left.push_back(step.step);
  EXPECT_THAT(left, testing::ElementsAre(1, 4));
}

TEST(SaverTest, TheProbeFindsWhatIsWrong) {
  const auto peers = make_solo_peers();
  const auto probe = [&](MemoryFileSystem& files, int64_t bytes) -> std::string {
    try {
      probe_saving(files, *peers, test_options(), bytes);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::environment);
      return error.what();
    }
  };
  MemoryFileSystem good({.capacity_bytes = 1 << 20});
  EXPECT_EQ(probe(good, 1 << 19), "");
  EXPECT_THAT(*good.list(kRun), testing::IsEmpty());
  EXPECT_THAT(probe(good, 1 << 21), HasSubstr("no room for a checkpoint"));
  MemoryFileSystem full({.capacity_bytes = 9000});
  EXPECT_THAT(probe(full, 0), HasSubstr("ENOSPC"));
  MemoryFileSystem wrong;
  wrong.inject({.kind = IoFault::Kind::flip_bit, .times = -1, .call = IoCall::write, .path = "shard"});
  EXPECT_THAT(probe(wrong, 0), HasSubstr("does not read back"));
}

}  // namespace
}  // namespace strata
