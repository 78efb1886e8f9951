// SPDX-License-Identifier: Apache-2.0
// What watches communicators, around NCCL's over the pretended NCCL: operations are recorded, counted and
// compared over their members as those on the host are, and take the working memory that was planned.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "core/device/devices.h"
#include "core/device/meta_stream.h"
#include "parallel/comm/counting.h"
#include "parallel/comm/device_world.h"
#include "parallel/comm/fingerprint.h"
#include "parallel/comm/flight_recorder.h"
#include "parallel/comm/nccl_world.h"
#include "parallel/comm/plan_world.h"
#include "parallel/comm/thread_world.h"
#include "tests/parallel/comm/collective_cases.h"
#include "tests/parallel/comm/nccl/failure_of.h"
#include "tests/support/cuda_on_cpu/nccl_faults.h"

namespace strata {
namespace {

using cuda_on_cpu::nccl_counts;
using testing::AllOf;
using testing::HasSubstr;

GroupSpec everybody(int ranks, const std::string& purpose) {
  GroupSpec spec{.purpose = purpose, .members = std::vector<int>(static_cast<size_t>(ranks))};
  spec.level = LinkLevel::world;
  std::iota(spec.members.begin(), spec.members.end(), 0);
  return spec;
}

// A rank whose NCCL world is watched.
struct WatchedRank {
  explicit WatchedRank(World& job, bool ordered = true, bool compared = true)
      : gpu(open_gpu(job.rank())), stream(gpu->make_stream(OpenDevice::Use::communication)) {
    world = nccl_world(job, gpu->host_memory(), job.rank(), {.ordered = ordered});
    if (compared) world = fingerprint_device(std::move(world), job);
    world = record_flight(std::move(world), recorder);
    world = count_traffic(std::move(world), counter);
  }
  Tensor tensor(int64_t n, DType type = DType::f32) const {
    return make_tensor(*gpu->memory(), type, {n}, "values");
  }

  FlightRecorder recorder;  // outlives what is enqueued on the stream
  TrafficCounter counter;
  std::unique_ptr<OpenDevice> gpu;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<World> world;
};

class WatchedNccl : public testing::Test {
 protected:
  void SetUp() override {
    setenv("STRATA_CUDA_DEVICES", "8", 1);
    cuda_on_cpu::break_nccl(0, ncclSuccess);
    cuda_on_cpu::reset_nccl_counts();
  }
  void TearDown() override { EXPECT_EQ(nccl_counts().alive, 0); }
};

TEST_F(WatchedNccl, WatchingChangesNoResultAndNothingStaysPending) {
  run_ranks(3, [](World& job) {
    WatchedRank rank(job);
    const auto comm = rank.world->group(everybody(3, "all"));
    const comm_cases::Options cases{.sizes = {0, 3, 1500}, .memory = rank.gpu->memory()};
    EXPECT_EQ(comm_cases::run_all(*comm, *rank.stream, cases), "");
    rank.stream->synchronize();
    EXPECT_EQ(rank.recorder.pending(), std::nullopt);
    EXPECT_GE(rank.recorder.records().size(), 20u);
  });
  EXPECT_EQ(nccl_counts().destroyed, 3) << "comparing needs no communicator of NCCL's";
}

// Bytes and calls as the plan counts them, whoever adds up.
TEST_F(WatchedNccl, CountsWhatThePlanDoes) {
  const auto work = [](World& world, Stream& stream, const auto& tensor) {
    const auto data = world.group(everybody(3, "data"));
    data->reduce_scatter(stream, tensor(300, DType::bf16), tensor(100, DType::bf16));
    data->all_reduce(stream, tensor(77, DType::f32));
    data->all_gather(stream, tensor(11, DType::bf16), tensor(33, DType::bf16));
    data->all_to_all(stream, tensor(30, DType::f32), tensor(30, DType::f32));
    const Message send[] = {{(data->rank() + 1) % 3, tensor(9, DType::f32)}};
    const Message receive[] = {{(data->rank() + 2) % 3, tensor(9, DType::f32)}};
    data->exchange(stream, send, receive);
    data->broadcast(stream, tensor(5, DType::u8), 1);
  };
  for (const bool ordered : {true, false})
    run_ranks(3, [&](World& job) {
      WatchedRank rank(job, ordered);
      work(*rank.world, *rank.stream, [&](int64_t n, DType type) { return rank.tensor(n, type); });
      MetaStream meta({DeviceKind::cuda, 0});
      const auto memory = make_meta_allocator();
      work(*make_plan_world(job.rank(), 3), meta,
           [&](int64_t n, DType type) { return make_tensor(*memory, type, {n}, "planned"); });
      EXPECT_EQ(rank.counter.bytes_by_level(), meta.count.wire_bytes);
      const auto rows = rank.counter.snapshot();
      ASSERT_EQ(rows.size(), 1u);
      for (const auto kind :
           {CollectiveKind::reduce_scatter, CollectiveKind::all_reduce, CollectiveKind::all_gather,
            CollectiveKind::exchange, CollectiveKind::broadcast})
        EXPECT_EQ(rows[0].calls[static_cast<size_t>(kind)], 1) << name(kind);
    });
}

TEST_F(WatchedNccl, TheOperationThatHangsIsNamed) {
  std::atomic<FlightRecorder*> waiting = nullptr;
  std::optional<FlightRecord> hanging, last, failed;
  std::string dump;
  uint64_t changes = 0, changes_later = 1;
  failure_of(2, [&](World& job) {
    WatchedRank rank(job, true, false);  // nobody compares, so it is NCCL that waits
    const auto comm = rank.world->group(everybody(2, "data"));
    comm->broadcast(*rank.stream, rank.tensor(4), 0);
    rank.stream->synchronize();
    if (job.rank() == 0) {
      comm->annotate("step 7 backward 2");
      waiting = &rank.recorder;
      EXPECT_THROW(comm->all_reduce(*rank.stream, rank.tensor(100)), JobAborted);
      failed = rank.recorder.pending();
      waiting = nullptr;
      return;
    }
    // Does not come. What it sees of rank 0 is what a watchdog there would.
    while (!waiting || !waiting.load()->pending()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    hanging = waiting.load()->pending();
    last = waiting.load()->last_done();
    dump = waiting.load()->dump();
    changes = waiting.load()->changes();
    changes_later = waiting.load()->changes();
    job.abort("enough");
    while (waiting) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  ASSERT_TRUE(hanging && failed && last);
  EXPECT_EQ(hanging->kind, CollectiveKind::all_reduce);
  EXPECT_EQ(hanging->bytes, 400);
  EXPECT_EQ(hanging->note.view(), "step 7 backward 2");
  EXPECT_EQ(hanging->state, FlightRecord::State::running);
  EXPECT_EQ(failed->state, FlightRecord::State::failed);
  EXPECT_EQ(last->kind, CollectiveKind::broadcast);
  EXPECT_EQ(last->state, FlightRecord::State::done);
  EXPECT_THAT(dump, testing::StartsWith("pending: #2 all_reduce 2 of \"data\" (2 ranks), 400 bytes, step 7"));
  EXPECT_EQ(changes, changes_later) << "no progress";
}

TEST_F(WatchedNccl, DifferentOperationsAreNamedBeforeNcclSeesThem) {
  const std::string text = failure_of(3, [](World& job) {
    WatchedRank rank(job);
    const auto comm = rank.world->group(everybody(3, "tensor"));
    comm->annotate("step 2");
    if (job.rank() == 1)
      comm->broadcast(*rank.stream, rank.tensor(8), 0);
    else
      comm->all_reduce(*rank.stream, rank.tensor(8));
  });
  EXPECT_THAT(text, AllOf(HasSubstr("\"tensor\" called different operations"),
                          HasSubstr("rank 1: broadcast of 32 bytes of f32 from member 0 for step 2"),
                          HasSubstr("all_reduce of 32 bytes of f32 (sum) for step 2")));
}

// plan == measured, for ordered sums and NCCL's own, small (one round), in one slice, and of many slices.
TEST_F(WatchedNccl, OperationsTakeTheWorkingMemoryThatIsPlanned) {
  for (const bool ordered : {true, false})
    for (const int ranks : {2, 3})
      run_ranks(ranks, [&](World& job) {
        const auto gpu = open_gpu(job.rank());
        const auto world = nccl_world(job, gpu->host_memory(), job.rank(), {.ordered = ordered});
        const auto comm = world->group(everybody(ranks, "all"));
        const auto planned = make_plan_world(job.rank(), ranks, planned_gpu_transport(ordered))
                                 ->group(everybody(ranks, "all"));
        const auto memory = make_meta_allocator();
        for (const DType type : {DType::f32, DType::bf16, DType::i64})
          for (const int64_t n : {7, 2000, 600'000})
            for (const bool scatter : {false, true}) {
              if (scatter && type == DType::i64) continue;
              const auto work = [&](Communicator& c, Stream& stream, Allocator& from) {
                const Tensor whole = make_tensor(from, type, {n * ranks}, "whole");
                if (scatter)
                  c.reduce_scatter(stream, whole, whole.slice(0, c.rank() * n, n));
                else
                  c.all_reduce(stream, whole);
              };
              const auto stream = gpu->make_stream(OpenDevice::Use::communication);
              work(*comm, *stream, *gpu->memory());
              stream->synchronize();
              MetaStream meta({DeviceKind::cuda, 0});
              work(*planned, meta, *memory);
              EXPECT_EQ(stream->scratch().high_water(), meta.scratch().high_water())
                  << n << " " << name(type);
              EXPECT_EQ(stream->scratch().high_water() > 0, ordered && type != DType::i64);
            }
      });
}

}  // namespace
}  // namespace strata
