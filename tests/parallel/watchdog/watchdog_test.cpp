// SPDX-License-Identifier: Apache-2.0
// The watchdog over rank threads; with real processes it is tested in tests/parallel/comm/mpi.
#include "parallel/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "parallel/comm/thread_world.h"

namespace strata {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

constexpr milliseconds kTimeout{1000};  // long beside what a busy machine may keep a thread waiting

struct Rank {
  World& world;
  Progress& progress;
  Communicator& comm;
};

// What ended a job of three ranks, each under its watchdog; "" when nothing did.
std::string end_of_job(const std::function<void(Rank)>& body) {
  std::vector<FlightRecorder> recorders(3);
  try {
    run_ranks(
        3,
        [&](World& world) {
          const auto comm = world.group({.purpose = "data", .members = {0, 1, 2}});
          Progress progress;
          const Watchdog watchdog(world, progress, &recorders[static_cast<size_t>(world.rank())], kTimeout);
          body({world, progress, *comm});
        },
        [&](std::unique_ptr<World> world) {
          FlightRecorder& recorder = recorders[static_cast<size_t>(world->rank())];
          return record_flight(std::move(world), recorder);
        });
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

void wait_for_abort(World& world) {
  while (!world.aborted()) std::this_thread::sleep_for(milliseconds(1));
}

TEST(Watchdog, LetsAJobWork) {
  EXPECT_EQ(end_of_job([](Rank rank) {
              for (int step = 0; step < 20; ++step) {
                rank.progress.enter(step, "forward");
                rank.comm.barrier();
                std::this_thread::sleep_for(milliseconds(5));
              }
            }),
            "");
}

TEST(Watchdog, NamesTheRankThatHangsOutsideAnOperation) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = end_of_job([](Rank rank) {
    rank.comm.barrier();
    rank.progress.enter(12, "backward");
    if (rank.world.rank() == 1) {
      wait_for_abort(rank.world);
      return;
    }
    rank.comm.barrier();
  });
  EXPECT_THAT(text, AllOf(HasSubstr("no rank has done anything"), HasSubstr("rank 1@" + host_name()),
                          HasSubstr("rank 1: step 12, backward, in no operation"),
                          HasSubstr("ranks 0, 2 in #2 barrier 2 of \"data\" (3 ranks)")));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20 * kTimeout);
}

TEST(Watchdog, WaitsForStorage) {
  EXPECT_EQ(end_of_job([](Rank rank) {
              if (rank.world.rank() == 1) {
                const Progress::StorageWait wait(rank.progress);
                std::this_thread::sleep_for(3 * kTimeout);
              }
              rank.comm.barrier();
            }),
            "");
}

TEST(Watchdog, ARankMayFinishBeforeOthers) {
  EXPECT_EQ(end_of_job([](Rank rank) {
              if (rank.world.rank() == 0) return;
              for (int i = 0; i < 60; ++i) {
                rank.progress.tick();
                std::this_thread::sleep_for(kTimeout / 20);
              }
            }),
            "");
}

// A rank without heartbeats, as one whose process is stopped; also when it is the judge.
TEST(Watchdog, NamesASilentRank) {
  for (const int silent : {0, 2}) {
    std::string text;
    try {
      run_ranks(3, [&](World& world) {
        Progress progress;
        if (world.rank() == silent) {
          const auto channel = world.notices();
          return wait_for_abort(world);
        }
        const Watchdog watchdog(world, progress, nullptr, kTimeout);
        const auto comm = world.group({.purpose = "data", .members = {0, 1, 2}});
      });
    } catch (const std::exception& error) {
      text = error.what();
    }
    EXPECT_THAT(text, HasSubstr("rank " + std::to_string(silent) + " has been silent"));
  }
}

}  // namespace
}  // namespace strata
