// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/thread_world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "core/base/hash.h"
#include "core/device/cpu/cpu_stream.h"
#include "tests/parallel/comm/collective_cases.h"

namespace strata {
namespace {

using testing::HasSubstr;

GroupSpec everybody(const World& world, std::string purpose = "all") {
  GroupSpec spec{.purpose = std::move(purpose),
                 .members = std::vector<int>(static_cast<size_t>(world.size()))};
  std::iota(spec.members.begin(), spec.members.end(), 0);
  return spec;
}

class Ranks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Counts, Ranks, testing::Values(1, 2, 3, 4, 5, 8, 16),
                         testing::PrintToStringParamName());

TEST_P(Ranks, EveryCollectiveEqualsTheSerialReference) {
  for (const uint64_t seed : {1, 2}) {  // inline streams, then threaded ones
    comm_cases::Options options{.seed = seed};
    if (GetParam() == 16) options.sizes = {0, 1, 7, 65};
    run_ranks(GetParam(), [&](World& world) { EXPECT_EQ(comm_cases::run_all(world, options), ""); });
  }
}

TEST(ThreadWorld, LargeTensorsGoInSlices) {
  run_ranks(2, [&](World& world) {
    EXPECT_EQ(comm_cases::run_all(world, {.sizes = {530'003}, .only_f32 = true}), "");
  });
}

TEST(ThreadWorld, TimingChangesNothing) {
  for (uint64_t seed = 3; seed < 7; ++seed)
    run_ranks(4, [&](World& world) {
      uint64_t state = hash_combine(seed, static_cast<uint64_t>(world.rank()));
      const auto sleep = [&] {
        state = mix64(state);
        if (state % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(state >> 8 & 1023));
      };
      EXPECT_EQ(comm_cases::run_all(world, {.sizes = {3, 1500}, .seed = seed, .between = sleep}), "");
    });
}

TEST(ThreadWorld, GroupsOfAMeshLiveTogether) {
  const Mesh mesh({.pp = 2, .dp = 2, .tp = 2, .ep = 4});
  run_ranks(8, [&](World& world) {
    EXPECT_EQ(comm_cases::run_groups(world, mesh, {.sizes = {5, 1300}}), "");
  });
}

// Two messages of member 1 come while member 0 copies a large one of member 2.
TEST(ThreadWorld, MessagesKeepTheirOrderWhileOthersAreCopied) {
  run_ranks(3, [&](World& world) {
    const auto comm = world.group(everybody(world));
    const auto allocator = make_cpu_allocator();
    WorkerPool pool(1);
    CpuStream stream(pool);
    const Tensor large = make_tensor(*allocator, DType::f32, {8 << 20}, "large");
    const Tensor one = make_tensor(*allocator, DType::i64, {1}, "one"),
                 two = make_tensor(*allocator, DType::i64, {1}, "two");
    comm->barrier();
    std::vector<Message> sends, receives;
    if (world.rank() == 0) receives = {{1, one}, {2, large}, {1, two}};
    if (world.rank() == 1) {
      one.data<int64_t>()[0] = 1;
      two.data<int64_t>()[0] = 2;
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      sends = {{0, one}, {0, two}};
    }
    if (world.rank() == 2) sends = {{0, large}};
    comm->exchange(stream, sends, receives);
    if (world.rank() == 0) {
      EXPECT_EQ(one.data<int64_t>()[0], 1);
      EXPECT_EQ(two.data<int64_t>()[0], 2);
    }
  });
}

TEST(ThreadWorld, AGroupMayBeMadeAgain) {
  run_ranks(3, [&](World& world) {
    for (int i = 0; i < 20; ++i) world.group(everybody(world))->barrier();
  });
}

TEST(ThreadWorld, NobodyLeavesABarrierBeforeAllHaveCome) {
  std::atomic<int> come = 0;
  run_ranks(5, [&](World& world) {
    const auto comm = world.group(everybody(world));
    for (int i = 1; i <= 50; ++i) {
      if (world.rank() == i % 5) std::this_thread::sleep_for(std::chrono::microseconds(200));
      ++come;
      comm->barrier();
      EXPECT_GE(come.load(), 5 * i);
    }
  });
}

std::string failure_of(int ranks, const std::function<void(World&)>& body) {
  try {
    run_ranks(ranks, body);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::communication);
    return error.what();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no failure";
}

// One rank stops at a random operation while all others are busy: nobody waits for ever, all hear of the
// cause.
TEST(ThreadWorld, AnAbortEndsEveryOperationOfEveryRank) {
  for (uint64_t round = 0; round < 20; ++round) {
    std::atomic<int> stopped = 0;
    const auto work = [&](World& world) {
      const Tensor values = make_tensor(*make_cpu_allocator(), DType::f32, {70'000}, "values");
      const auto comm = world.group(everybody(world));
      WorkerPool pool(1);
      CpuStream stream(pool, round % 2 ? CpuStream::Mode::threaded : CpuStream::Mode::inline_);
      try {
        const int even = world.rank() / 2 * 2;
        const auto pair = world.group({.purpose = "pair", .members = {even, even + 1}});
        for (uint64_t i = 0;; ++i) {
          if (world.rank() == 3 && i == mix64(round) % 10) throw std::runtime_error("disk full");
          comm->all_reduce(stream, values);
          pair->broadcast(stream, values, 1);
          stream.synchronize();
        }
      } catch (const JobAborted& error) {
        EXPECT_THAT(error.what(), HasSubstr("disk full"));
        EXPECT_THROW(comm->barrier(), JobAborted) << "an operation that begins after the abort";
        ++stopped;
        throw;
      }
    };
    EXPECT_EQ(failure_of(8, work), "disk full");
    EXPECT_EQ(stopped, 7);
  }
}

TEST(ThreadWorld, AnAbortFromOutsideEndsAWait) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = failure_of(2, [&](World& world) {
    const auto comm = world.group(everybody(world));
    if (world.rank() == 0) {
      std::thread([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        world.abort("the user said so");
        world.abort("a second cause");
      }).join();
      comm->barrier();
    }
    const Tensor values = make_tensor(*make_cpu_allocator(), DType::f32, {4}, "values");
    WorkerPool pool(1);
    CpuStream stream(pool);
    comm->all_reduce(stream, values);
  });
  EXPECT_THAT(text, HasSubstr("the user said so"));
  EXPECT_THAT(text, testing::Not(HasSubstr("second")));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(ThreadWorld, ARankThatLeavesIsNamed) {
  EXPECT_THAT(
      failure_of(3,
                 [&](World& world) {
                   const auto comm = world.group(everybody(world, "data"));
                   if (world.rank() != 1) comm->barrier();
                 }),
      testing::AllOf(HasSubstr("barrier"), HasSubstr("\"data\""), HasSubstr("rank 1 has left the job")));
  EXPECT_THAT(failure_of(3,
                         [&](World& world) {
                           if (world.rank() != 1) world.group(everybody(world, "data"));
                         }),
              HasSubstr("rank 1 has left the job without joining"));
}

TEST(ThreadWorld, SizesThatDifferAreNamed) {
  EXPECT_THAT(failure_of(2,
                         [&](World& world) {
                           const auto comm = world.group(everybody(world));
                           const Tensor values = make_tensor(*make_cpu_allocator(), DType::f32,
                                                             {world.rank() == 0 ? 4 : 5}, "values");
                           WorkerPool pool(1);
                           CpuStream stream(pool);
                           comm->all_reduce(stream, values);
                         }),
              testing::ContainsRegex(
                  "rank 0 sends 16 bytes, rank 1 expects 20|rank 1 sends 20 bytes, rank 0 expects 16"));
}

TEST(ThreadWorld, TwoStreamsOnOneCommunicatorAreRefused) {
  EXPECT_THAT(failure_of(2,
                         [&](World& world) {
                           const auto comm = world.group(everybody(world));
                           const Tensor values =
                               make_tensor(*make_cpu_allocator(), DType::f32, {4}, "values");
                           WorkerPool pool(1);
                           CpuStream one(pool, CpuStream::Mode::threaded), two(pool);
                           if (world.rank() == 0) {
                             comm->all_reduce(one, values);
                             std::this_thread::sleep_for(std::chrono::milliseconds(20));
                             comm->all_reduce(two, values);
                           } else {
                             std::this_thread::sleep_for(std::chrono::milliseconds(100));
                             comm->all_reduce(one, values);
                           }
                           one.synchronize();
                         }),
              HasSubstr("in use by another stream"));
}

}  // namespace
}  // namespace strata
