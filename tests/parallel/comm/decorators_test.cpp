// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"
#include "parallel/comm/counting.h"
#include "parallel/comm/faulty.h"
#include "parallel/comm/fingerprint.h"
#include "parallel/comm/flight_recorder.h"
#include "parallel/comm/plan_world.h"
#include "parallel/comm/thread_world.h"
#include "tests/parallel/comm/collective_cases.h"

namespace strata {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

GroupSpec everybody(int n, std::string purpose, LinkLevel level = LinkLevel::node) {
  GroupSpec spec{
      .purpose = std::move(purpose), .members = std::vector<int>(static_cast<size_t>(n)), .level = level};
  std::iota(spec.members.begin(), spec.members.end(), 0);
  return spec;
}

Tensor tensor(int64_t n, DType type = DType::f32, Allocator& allocator = *make_cpu_allocator()) {
  return make_tensor(allocator, type, {n}, "values");
}

std::string failure_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no failure";
}

TEST(Decorators, AllTogetherChangeNoResult) {
  for (const uint64_t seed : {1, 2}) {
    std::vector<TrafficCounter> counters(4);
    std::vector<FlightRecorder> recorders(4);
    const auto wrap = [&](std::unique_ptr<World> world) {
      const auto rank = static_cast<size_t>(world->rank());
      world = make_faulty(std::move(world),
                          {.latency = microseconds(5), .jitter = microseconds(100), .seed = seed});
      world = fingerprint_operations(std::move(world));
      world = record_flight(std::move(world), recorders[rank]);
      return count_traffic(std::move(world), counters[rank]);
    };
    run_ranks(
        4,
        [&](World& world) {
          EXPECT_EQ(comm_cases::run_all(world, {.sizes = {0, 3, 1500}, .seed = seed}), "");
        },
        wrap);
    for (const FlightRecorder& recorder : recorders) EXPECT_EQ(recorder.pending(), std::nullopt);
  }
}

TEST(Counting, CountsWhatThePlanDoes) {
  std::vector<TrafficCounter> counters(4);
  const auto work = [](World& world, Stream& stream, Allocator& allocator) {
    const auto data = world.group(everybody(4, "data", LinkLevel::world));
    const int first = world.rank() / 2 * 2;
    const auto pair =
        world.group({.purpose = "tensor", .members = {first, first + 1}, .level = LinkLevel::pair});
    for (int i = 0; i < 3; ++i) {
      data->reduce_scatter(stream, tensor(400, DType::bf16, allocator), tensor(100, DType::bf16, allocator));
      pair->all_reduce(stream, tensor(77, DType::f32, allocator));
    }
    pair->broadcast(stream, tensor(5, DType::u8, allocator), 1);
    if (stream.device().kind == DeviceKind::cpu) data->barrier();
  };
  run_ranks(
      4,
      [&](World& world) {
        WorkerPool pool(1);
        CpuStream stream(pool);
        work(world, stream, *make_cpu_allocator());
      },
      [&](std::unique_ptr<World> world) {
        TrafficCounter& counter = counters[static_cast<size_t>(world->rank())];
        return count_traffic(std::move(world), counter);
      });
  for (int rank = 0; rank < 4; ++rank) {
    MetaStream meta({});
    work(*make_plan_world(rank, 4), meta, *make_meta_allocator());
    const TrafficCounter& counter = counters[static_cast<size_t>(rank)];
    EXPECT_EQ(counter.bytes_by_level(), meta.count.wire_bytes);
    const auto rows = counter.snapshot();
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].purpose, "data");
    EXPECT_EQ(rows[0].level, LinkLevel::world);
    EXPECT_EQ(rows[0].bytes, 3 * 3 * 200);
    EXPECT_EQ(rows[0].calls[static_cast<size_t>(CollectiveKind::reduce_scatter)], 3);
    EXPECT_EQ(rows[0].calls[static_cast<size_t>(CollectiveKind::barrier)], 1);
    EXPECT_EQ(rows[1].calls[static_cast<size_t>(CollectiveKind::all_reduce)], 3);
    // 77 floats for two: one receives 39 of the sum's and 38 of the result, the other the reverse.
    EXPECT_EQ(rows[1].bytes, 3 * 77 * 4 + (rank % 2 == 0 ? 5 : 0));
  }
}

TEST(FlightRecorder, NamesTheOperationThatHangs) {
  for (const auto mode : {CpuStream::Mode::inline_, CpuStream::Mode::threaded}) {
    std::vector<FlightRecorder> recorders(3);
    std::atomic<int> waiting = 0;
    failure_of([&] {
      run_ranks(
          3,
          [&](World& world) {
            const auto comm = world.group(everybody(3, "data"));
            WorkerPool pool(1);
            CpuStream stream(pool, mode);
            comm->broadcast(stream, tensor(4), 0);
            comm->annotate("step 7 backward 2");
            std::thread watcher;
            if (world.rank() == 0)
              watcher = std::thread([&] {
                while (waiting < 2) std::this_thread::sleep_for(milliseconds(1));
                std::this_thread::sleep_for(milliseconds(20));
                world.abort("enough");
              });
            const std::unique_ptr<std::thread, void (*)(std::thread*)> join(&watcher,
                                                                            [](std::thread* thread) {
                                                                              if (thread->joinable())
                                                                                thread->join();
                                                                            });
            if (world.rank() == 0) return;  // does not come
            ++waiting;
            const Tensor values = tensor(100);
            comm->all_reduce(stream, values);
            stream.synchronize();
          },
          [&](std::unique_ptr<World> world) {
            FlightRecorder& recorder = recorders[static_cast<size_t>(world->rank())];
            return record_flight(std::move(world), recorder);
          });
    });
    const auto pending = recorders[1].pending();
    ASSERT_TRUE(pending);
    EXPECT_EQ(pending->kind, CollectiveKind::all_reduce);
    EXPECT_EQ(pending->of_group, 2U);
    EXPECT_EQ(pending->bytes, 400);
    EXPECT_EQ(pending->note.view(), "step 7 backward 2");
    EXPECT_THAT(recorders[1].dump(),
                HasSubstr("all_reduce 2 of \"data\" (3 ranks), 400 bytes, step 7 backward 2: "));
    EXPECT_THAT(recorders[1].dump(), testing::StartsWith("pending: #2 all_reduce 2"));
    EXPECT_EQ(recorders[0].pending(), std::nullopt);
    EXPECT_EQ(recorders[0].last_done()->kind, CollectiveKind::broadcast);
  }
}

TEST(FlightRecorder, KeepsTheLastOnes) {
  FlightRecorder recorder(8);
  const GroupSpec spec = everybody(2, "a purpose whose name is too long for the record of an operation");
  for (uint64_t i = 1; i <= 20; ++i) {
    EXPECT_EQ(recorder.enqueued(spec, i, {.kind = CollectiveKind::barrier}), i);
    if (i % 2 == 0) recorder.ended(i);
  }
  recorder.ended(1);  // forgotten long ago: touches no other's record
  const auto records = recorder.records();
  ASSERT_EQ(records.size(), 8U);
  EXPECT_EQ(records.front().sequence, 13U);
  EXPECT_EQ(records.back().sequence, 20U);
  EXPECT_EQ(recorder.pending()->sequence, 13U);
  EXPECT_EQ(recorder.last_done()->sequence, 20U);
  EXPECT_EQ(recorder.changes(), 31U);
}

// Two of three members do `right`, member 2 does `wrong`.
std::string mismatch(const std::function<void(Communicator&, Stream&)>& right,
                     const std::function<void(Communicator&, Stream&)>& wrong,
                     CpuStream::Mode mode = CpuStream::Mode::inline_) {
  return failure_of([&] {
    run_ranks(
        3,
        [&](World& world) {
          const auto comm = world.group(everybody(3, "data"));
          WorkerPool pool(1);
          CpuStream stream(pool, mode);
          comm->broadcast(stream, tensor(3), 1);
          (world.rank() == 2 ? wrong : right)(*comm, stream);
          stream.synchronize();
        },
        fingerprint_operations);
  });
}

TEST(Fingerprint, NamesWhoCalledWhat) {
  const auto all_reduce = [](int64_t n, DType type = DType::f32, Reduction reduction = Reduction::sum) {
    return [=](Communicator& comm, Stream& stream) { comm.all_reduce(stream, tensor(n, type), reduction); };
  };
  const auto broadcast = [](int root) {
    return [=](Communicator& comm, Stream& stream) { comm.broadcast(stream, tensor(100), root); };
  };
  const auto noted = [](const char* note) {
    return [=](Communicator& comm, Stream& stream) {
      comm.annotate(note);
      comm.all_reduce(stream, tensor(100));
    };
  };
  for (const auto mode : {CpuStream::Mode::inline_, CpuStream::Mode::threaded})
    EXPECT_THAT(mismatch(all_reduce(100), broadcast(1), mode),
                AllOf(HasSubstr("the members of \"data\" called different operations"),
                      HasSubstr("ranks 0, 1: all_reduce of 400 bytes of f32 (sum), its call 2"),
                      HasSubstr("rank 2: broadcast of 400 bytes of f32 from member 1, its call 2")));
  EXPECT_THAT(
      mismatch(all_reduce(100), all_reduce(101)),
      AllOf(HasSubstr("ranks 0, 1: all_reduce of 400 bytes"), HasSubstr("rank 2: all_reduce of 404 bytes")));
  EXPECT_THAT(mismatch(all_reduce(100), all_reduce(200, DType::bf16)),
              AllOf(HasSubstr("400 bytes of f32"), HasSubstr("rank 2: all_reduce of 400 bytes of bf16")));
  EXPECT_THAT(mismatch(all_reduce(100), all_reduce(100, DType::f32, Reduction::max)),
              HasSubstr("rank 2: all_reduce of 400 bytes of f32 (max)"));
  EXPECT_THAT(mismatch(broadcast(0), broadcast(2)),
              HasSubstr("rank 2: broadcast of 400 bytes of f32 from member 2"));
  EXPECT_THAT(mismatch(noted("step 3"), noted("step 4")),
              AllOf(HasSubstr("ranks 0, 1: all_reduce of 400 bytes of f32 (sum) for step 3"),
                    HasSubstr("for step 4")));
  EXPECT_THAT(mismatch([](Communicator& comm, Stream&) { comm.barrier(); }, all_reduce(100)),
              AllOf(HasSubstr("ranks 0, 1: barrier"), HasSubstr("rank 2: all_reduce")));
  EXPECT_EQ(mismatch(all_reduce(100), all_reduce(100)), "no failure");
}

TEST(Fingerprint, ComparesMessagesPairByPair) {
  // 0 -> 2 only: member 1 takes no part.
  const auto job = [](int64_t sent, int64_t expected) {
    return failure_of([=] {
      run_ranks(
          3,
          [=](World& world) {
            const auto comm = world.group(everybody(3, "pipeline"));
            WorkerPool pool(1);
            CpuStream stream(pool);
            std::vector<Message> sends, receives;
            if (world.rank() == 0) sends.push_back({2, tensor(sent)});
            if (world.rank() == 2) receives.push_back({0, tensor(expected)});
            if (world.rank() != 1) comm->exchange(stream, sends, receives);
            comm->barrier();
          },
          fingerprint_operations);
    });
  };
  EXPECT_EQ(job(10, 10), "no failure");
  EXPECT_THAT(job(10, 11), AllOf(HasSubstr("\"pipeline\""),
                                 HasSubstr("rank 0: exchange of 1 messages sent and 0 expected"),
                                 HasSubstr("rank 2: exchange of 0 messages sent and 1 expected")));
}

TEST(Faulty, FailsWhenTold) {
  FaultPlan plan;
  plan.faults = {{.rank = 1, .purpose = "data", .operation = 2, .kind = FaultPlan::Fault::Kind::fails}};
  std::atomic<int> passed = 0;
  EXPECT_THAT(failure_of([&] {
                run_ranks(
                    3,
                    [&](World& world) {
                      const auto other = world.group(everybody(3, "other")),
                                 comm = world.group(everybody(3, "data"));
                      for (int i = 0; i < 5; ++i) other->barrier();
                      comm->barrier();
                      comm->barrier();
                      comm->barrier();
                      ++passed;
                    },
                    [&](std::unique_ptr<World> world) { return make_faulty(std::move(world), plan); });
              }),
              HasSubstr("operation 2 of \"data\" was told to fail"));
  EXPECT_EQ(passed, 0);
}

TEST(Faulty, IsStuckUntilTheJobEnds) {
  FaultPlan plan;
  plan.faults = {{.rank = 2, .operation = 1}};
  EXPECT_EQ(failure_of([&] {
              run_ranks(
                  3,
                  [&](World& world) {
                    const auto comm = world.group(everybody(3, "data"));
                    comm->barrier();
                    if (world.rank() == 0) {
                      std::this_thread::sleep_for(milliseconds(20));
                      throw std::runtime_error("somebody hangs");
                    }
                    comm->barrier();
                  },
                  [&](std::unique_ptr<World> world) { return make_faulty(std::move(world), plan); });
            }),
            "somebody hangs");
}

TEST(Faulty, PlaysASlowNetwork) {
  const auto begin = std::chrono::steady_clock::now();
  run_ranks(
      2,
      [&](World& world) {
        const auto comm = world.group(everybody(2, "data"));
        WorkerPool pool(1);
        CpuStream stream(pool);
        for (int i = 0; i < 4; ++i) comm->all_gather(stream, tensor(1250), tensor(2500));  // 5000 bytes
      },
      [&](std::unique_ptr<World> world) {
        return make_faulty(std::move(world), {.latency = milliseconds(5), .bytes_per_second = 1e6});
      });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(4 * (5 + 5)));
}

}  // namespace
}  // namespace strata
