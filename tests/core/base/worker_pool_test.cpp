// SPDX-License-Identifier: Apache-2.0
#include "core/base/worker_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/base/check.h"

namespace strata {
namespace {

class WorkerPoolTest : public testing::TestWithParam<int> {
 protected:
  WorkerPool pool{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Threads, WorkerPoolTest, testing::Values(1, 2, 3, 8));

TEST_P(WorkerPoolTest, RunsEveryIndexOnce) {
  for (const int64_t count : {0, 1, 2, 3, 7, 64, 1000, 30001}) {
    std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
    pool.for_each(count, [&](int64_t index, int) { runs[static_cast<size_t>(index)]++; });
    for (int64_t i = 0; i < count; ++i)
      ASSERT_EQ(runs[static_cast<size_t>(i)], 1) << "index " << i << " of " << count;
  }
}

TEST_P(WorkerPoolTest, WritesOfBodiesAreSeenAfterTheCall) {
  std::vector<int64_t> squares(5000);
  for (int round = 0; round < 20; ++round) {
    pool.for_each(5000, [&](int64_t i, int) { squares[static_cast<size_t>(i)] = i * i + round; });
    for (int64_t i = 0; i < 5000; ++i) ASSERT_EQ(squares[static_cast<size_t>(i)], i * i + round);
  }
}

TEST_P(WorkerPoolTest, NoTwoConcurrentBodiesShareAWorker) {
  std::vector<std::atomic<int>> busy(static_cast<size_t>(pool.threads()));
  std::atomic<int> wrong{0};
  pool.for_each(2000, [&](int64_t, int worker) {
    if (worker < 0 || worker >= pool.threads()) {
      ++wrong;
      return;
    }
    if (busy[static_cast<size_t>(worker)]++ != 0) ++wrong;
    std::this_thread::yield();
    busy[static_cast<size_t>(worker)]--;
  });
  EXPECT_EQ(wrong, 0);
}

TEST_P(WorkerPoolTest, UsesAllThreads) {
  // Every body waits until all workers have come, so that the call ends only when all of them took part.
  const int threads = pool.threads();
  std::atomic<int> arrived{0};
  pool.for_each(threads, [&](int64_t, int) {
    ++arrived;
    while (arrived < threads) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, threads);
}

TEST_P(WorkerPoolTest, NestedCallsRunOnTheSameWorker) {
  std::atomic<int> inner{0}, moved{0};
  pool.for_each(20, [&](int64_t, int worker) {
    const auto thread = std::this_thread::get_id();
    pool.for_each(10, [&](int64_t, int inner_worker) {
      ++inner;
      if (inner_worker != worker || std::this_thread::get_id() != thread) ++moved;
    });
  });
  EXPECT_EQ(inner, 200);
  EXPECT_EQ(moved, 0);
}

TEST_P(WorkerPoolTest, NestedCallsThroughAnotherPoolComeBack) {
  WorkerPool other(2);
  std::atomic<int> runs{0};
  pool.for_each(4, [&](int64_t, int worker) {
    other.for_each(3, [&](int64_t, int) { ++runs; });
    other.for_each(1, [&](int64_t, int) {
      // Still inside a body of `pool`, on the thread of this worker: must not wait for itself.
      pool.for_each(2, [&](int64_t, int inner_worker) { runs += inner_worker == worker ? 100 : 0; });
    });
  });
  EXPECT_EQ(runs, 4 * (3 + 200));
}

TEST_P(WorkerPoolTest, RethrowsAndStaysUsable) {
  for (int round = 0; round < 50; ++round) {
    try {
      pool.for_each(1000, [&](int64_t index, int) {
        if (index == 17) throw std::runtime_error("index 17");
      });
      FAIL() << "the exception was lost";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "index 17");
    }
    std::atomic<int> after{0};
    pool.for_each(10, [&](int64_t, int) { ++after; });
    EXPECT_EQ(after, 10);
  }
}

TEST_P(WorkerPoolTest, StartsNoMoreIndicesAfterAFailure) {
  std::atomic<int> runs{0};
  EXPECT_THROW(pool.for_each(2000,
                             [&](int64_t index, int) {
                               ++runs;
                               if (index == 0) throw std::runtime_error("the first");
                               std::this_thread::sleep_for(std::chrono::microseconds(20));
                             }),
               std::runtime_error);
  // Other threads finish the pieces they have begun, at most an eighth of the call between them.
  EXPECT_LT(runs, 1000);
}

TEST_P(WorkerPoolTest, CallsFromSeveralThreadsAreSerialised) {
  std::vector<std::atomic<int>> running(4);  // bodies of each caller
  std::atomic<int> overlaps{0};
  std::atomic<int64_t> total{0};
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < running.size(); ++caller)
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 50; ++round)
        pool.for_each(round % 5 + 1, [&](int64_t, int) {
          ++running[caller];
          for (size_t other = 0; other < running.size(); ++other)
            if (other != caller && running[other] != 0) ++overlaps;
          std::this_thread::yield();
          ++total;
          --running[caller];
        });
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(total, 4 * 10 * (1 + 2 + 3 + 4 + 5));
  EXPECT_EQ(overlaps, 0);
}

TEST_P(WorkerPoolTest, WakesUpAfterSleeping) {
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // far longer than the workers spin
    const int threads = pool.threads();
    std::atomic<int> arrived{0};
    pool.for_each(threads, [&](int64_t, int) {
      ++arrived;
      while (arrived < threads) std::this_thread::yield();
    });
    EXPECT_EQ(arrived, threads);
  }
}

TEST_P(WorkerPoolTest, ManySmallCalls) {
  std::atomic<int64_t> sum{0};
  for (int call = 0; call < 3000; ++call) pool.for_each(3, [&](int64_t index, int) { sum += index + 1; });
  EXPECT_EQ(sum, 3000 * 6);
}

TEST(WorkerPool, DefaultsToTheCoresOfTheProcess) {
  EXPECT_GE(WorkerPool().threads(), 1);
  EXPECT_LE(WorkerPool().threads(), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST(WorkerPool, RefusesANegativeCount) {
  try {
    WorkerPool pool(-1);
    FAIL();
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(), "[worker_pool] -1 threads");
  }
}

// A sleeping pool uses no processor time: it must not disturb the process beside it.
TEST(WorkerPool, SleepsWhenIdle) {
  WorkerPool pool(4);
  pool.for_each(4, [](int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();  // of the whole process
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.02);
}

}  // namespace
}  // namespace strata
