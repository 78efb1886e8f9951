// SPDX-License-Identifier: Apache-2.0
// The NCCL communicator over the pretended NCCL: ranks are threads, each with a pretended GPU of its own.
#include "parallel/comm/nccl_world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/devices.h"
#include "core/tensor/transfer.h"
#include "parallel/comm/device_world.h"
#include "parallel/comm/thread_world.h"
#include "tests/parallel/comm/collective_cases.h"
#include "tests/parallel/comm/nccl/failure_of.h"
#include "tests/support/cuda_on_cpu/nccl_faults.h"

namespace strata {
namespace {

using cuda_on_cpu::nccl_counts;
using testing::AllOf;
using testing::HasSubstr;

// One rank of a job with NCCL, and what it works with.
struct GpuRank {
  GpuRank(World& job, int index, const NcclOptions& options = {})
      : gpu(open_gpu(index)),
        world(nccl_world(job, gpu->host_memory(), index, options)),
        stream(gpu->make_stream(OpenDevice::Use::communication)) {}
  explicit GpuRank(World& job, const NcclOptions& options = {}) : GpuRank(job, job.rank(), options) {}

  std::unique_ptr<Communicator> everybody(std::string purpose = "all") const {
    GroupSpec spec{.purpose = std::move(purpose),
                   .members = std::vector<int>(static_cast<size_t>(world->size()))};
    std::iota(spec.members.begin(), spec.members.end(), 0);
    return world->group(std::move(spec));
  }
  Tensor on_gpu(std::vector<float> values) const {
    const auto n = static_cast<int64_t>(values.size());
    const Tensor x = make_tensor(*gpu->memory(), DType::f32, {n}, "values");
    transfer(*stream, Tensor::borrow(values.data(), DType::f32, {n}), x);
    stream->synchronize();
    return x;
  }
  comm_cases::Options cases(std::vector<int64_t> sizes) const {
    return {.sizes = std::move(sizes), .memory = gpu->memory()};
  }

  std::unique_ptr<OpenDevice> gpu;
  std::unique_ptr<World> world;
  std::unique_ptr<Stream> stream;
};

class Nccl : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    setenv("STRATA_CUDA_DEVICES", "8", 1);
    cuda_on_cpu::break_nccl(0, ncclSuccess);
    cuda_on_cpu::reset_nccl_counts();
  }
  void TearDown() override {
    EXPECT_EQ(nccl_counts().alive, 0) << "every communicator was destroyed or aborted";
  }
};
using NcclRanks = Nccl;
INSTANTIATE_TEST_SUITE_P(Counts, NcclRanks, testing::Values(1, 2, 3, 4, 8),
                         testing::PrintToStringParamName());

TEST_P(NcclRanks, OrderedCollectivesEqualTheSerialReference) {
  run_ranks(GetParam(), [&](World& job) {
    const GpuRank rank(job);
    EXPECT_EQ(comm_cases::run_all(*rank.everybody(), *rank.stream, rank.cases({0, 1, 7, 33, 1025, 5003})),
              "");
  });
  const int members = GetParam() > 1 ? GetParam() : 0;  // one alone needs no NCCL
  EXPECT_EQ(nccl_counts().destroyed, members) << "a graceful end";
  EXPECT_EQ(nccl_counts().aborted, 0);
}

// Beyond a slice of 1 MiB, uneven shares.
TEST_F(Nccl, LargeOrderedSumsGoInSlices) {
  run_ranks(2, [&](World& job) {
    const GpuRank rank(job);
    auto options = rank.cases({600'003});
    options.only_f32 = true;
    EXPECT_EQ(comm_cases::run_all(*rank.everybody(), *rank.stream, options), "");
  });
}

TEST_F(Nccl, HostTensorsGoThroughTheHost) {
  run_ranks(3, [&](World& job) {
    const GpuRank rank(job);
    const auto comm = rank.everybody();
    const Tensor sums = make_tensor(*rank.gpu->host_memory(), DType::i64, {3}, "sums");
    for (int64_t i = 0; i < 3; ++i) sums.data<int64_t>()[i] = i + job.rank();
    comm->all_reduce(*rank.stream, sums);
    rank.stream->synchronize();
    EXPECT_THAT(sums.span<const int64_t>(), testing::ElementsAre(3, 6, 9));

    // Messages of both kinds at once: one to the next member on the GPU, one on the host.
    const int next = (job.rank() + 1) % 3, last = (job.rank() + 2) % 3;
    const Tensor here = rank.on_gpu({float(job.rank())}), there = rank.on_gpu({-1});
    const Tensor from = make_tensor(*rank.gpu->host_memory(), DType::i64, {1}, "from");
    const Tensor to = make_tensor(*rank.gpu->host_memory(), DType::i64, {1}, "to");
    from.data<int64_t>()[0] = 10 + job.rank();
    const Message sends[] = {{next, from}, {next, here}}, receives[] = {{last, there}, {last, to}};
    comm->exchange(*rank.stream, sends, receives);
    rank.stream->synchronize();
    EXPECT_EQ(to.data<int64_t>()[0], 10 + last);
    EXPECT_THAT(on_host(*rank.stream, there).span<const float>(), testing::ElementsAre(float(last)));
  });
}

// Each of NCCL's own sums, in f32: no further from the exact one than any order of additions can be.
TEST_F(Nccl, UnorderedSumsAreWithinTheBoundOfAnyOrder) {
  constexpr int kRanks = 4;
  constexpr int64_t kCount = 1003;
  const auto value = [](int member, int64_t i) {
    return std::sin(float(member * 7919 + i)) * float(1 + i % 5);
  };
  run_ranks(kRanks, [&](World& job) {
    const GpuRank rank(job, NcclOptions{.ordered = false});
    const auto comm = rank.everybody();
    std::vector<float> mine(kCount * kRanks);
    for (size_t i = 0; i < mine.size(); ++i) mine[i] = value(job.rank(), static_cast<int64_t>(i));
    const Tensor whole = rank.on_gpu(mine), same = rank.on_gpu(mine), largest = rank.on_gpu(mine);
    const Tensor part = whole.slice(0, job.rank() * kCount, kCount);
    EXPECT_EQ(
        comm->scratch_bytes({.kind = CollectiveKind::all_reduce, .from = same, .to = same}, DeviceKind::cuda),
        0);
    comm->reduce_scatter(*rank.stream, whole, part);
    comm->all_reduce(*rank.stream, same);
    comm->all_reduce(*rank.stream, largest, Reduction::max);
    const Tensor scattered = on_host(*rank.stream, part), reduced = on_host(*rank.stream, same);
    const Tensor most = on_host(*rank.stream, largest);
    for (int64_t i = 0; i < kCount * kRanks; ++i) {
      double exact = 0, size = 0;
      float top = value(0, i);
      for (int member = 0; member < kRanks; ++member) {
        exact += double(value(member, i));
        size += std::fabs(double(value(member, i)));
        top = std::max(top, value(member, i));
      }
      const double bound = (kRanks - 1) * size * 0x1p-24;
      ASSERT_NEAR(reduced.data<float>()[i], exact, bound);
      ASSERT_EQ(most.data<float>()[i], top);
      const int64_t own = i - job.rank() * kCount;
      if (own < 0 || own >= kCount) continue;
      ASSERT_NEAR(scattered.data<float>()[own], exact, bound);
    }
  });
}

TEST_F(Nccl, GroupsOfAMeshLiveTogether) {
  const Mesh mesh({.pp = 2, .dp = 2, .tp = 2});
  run_ranks(8, [&](World& job) {
    const GpuRank rank(job);
    std::vector<std::unique_ptr<Communicator>> comms;
    for (const Axis axis : {Axis::pp, Axis::dp, Axis::tp}) {
      GroupSpec spec{.purpose = std::string(name(axis)), .members = mesh.group(job.rank(), {axis})};
      comms.push_back(rank.world->group(spec));
      std::reverse(spec.members.begin(), spec.members.end());
      spec.purpose += " reversed";
      comms.push_back(rank.world->group(spec));
    }
    for (const auto& comm : comms)
      EXPECT_EQ(comm_cases::run_all(*comm, *rank.stream, rank.cases({5, 1300})), "") << comm->spec().purpose;
  });
  EXPECT_EQ(nccl_counts().destroyed, 8 * 6);
}

// ---- failures ----------------------------------------------------------------------------------------

// A member that never comes to an operation: the others' kernels wait until the job is aborted.
TEST_F(Nccl, AnAbortEndsAWait) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(failure_of(3,
                         [&](World& job) {
                           const GpuRank rank(job);
                           const auto comm = rank.everybody();
                           if (job.rank() == 1) {
                             std::this_thread::sleep_for(std::chrono::milliseconds(50));
                             job.abort("the disk is full");
                             EXPECT_THROW(comm->barrier(), JobAborted);
                             return;
                           }
                           const Tensor x = rank.on_gpu({1, 2, 3});
                           EXPECT_THROW(comm->all_reduce(*rank.stream, x), JobAborted);
                           comm->broadcast(*rank.stream, x, 0);
                         }),
              HasSubstr("the disk is full"));
  EXPECT_EQ(nccl_counts().aborted, 3);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8)) << "not by a time limit";
}

// A fault that NCCL finds while nobody calls it: the job ends within the watch's interval.
TEST_F(Nccl, TheWatchFindsAFaultByItself) {
  std::atomic<int> aborted = 0;
  const std::string text = failure_of(2, [&](World& job) {
    const GpuRank rank(job);
    const auto comm = rank.everybody("tensor");
    const Tensor x = rank.on_gpu({1, 2, 3});
    comm->all_reduce(*rank.stream, x);
    comm->barrier();
    if (job.rank() == 0) cuda_on_cpu::break_nccl(1, ncclRemoteError);
    for (int i = 0; i < 500 && !job.aborted(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    aborted += job.aborted();
    comm->all_reduce(*rank.stream, x);
  });
  EXPECT_EQ(aborted, 2);
  EXPECT_EQ(nccl_counts().aborted, 2);
  EXPECT_THAT(text, AllOf(HasSubstr("all_reduce of 12 bytes"), HasSubstr("2 ranks of \"tensor\""),
                          HasSubstr("rank 1@"), HasSubstr("remote process exited"), HasSubstr("NCCL_DEBUG")));
}

// So that kernels end while the caller waits for their stream.
TEST_F(Nccl, TheWatchHearsOfAnAbort) {
  EXPECT_THAT(failure_of(2,
                         [&](World& job) {
                           const GpuRank rank(job);
                           const auto comm = rank.everybody();
                           if (job.rank() == 1) job.abort("the user said so");
                           for (int i = 0; i < 500 && nccl_counts().aborted < 2; ++i)
                             std::this_thread::sleep_for(std::chrono::milliseconds(10));
                           EXPECT_EQ(nccl_counts().aborted, 2);
                           comm->all_reduce(*rank.stream, rank.on_gpu({1}));
                         }),
              HasSubstr("the user said so"));
}

TEST_F(Nccl, AnAbortEndsConnecting) {
  EXPECT_THAT(failure_of(2,
                         [&](World& job) {
                           if (job.rank() == 0) {
                             EXPECT_THROW(GpuRank(job).everybody("data"), JobAborted);
                             job.group({.purpose = "data", .members = {0, 1}})->barrier();
                             return;
                           }
                           const auto host = job.group({.purpose = "data", .members = {0, 1}});
                           std::vector<uint8_t> id(sizeof(ncclUniqueId) + 1);
                           WorkerPool pool(1);
                           CpuStream stream(pool);
                           host->broadcast(stream, Tensor::borrow(id.data(), DType::u8, {int64_t(id.size())}),
                                           0);
                           throw Error(Fault::communication, {.what = "the GPU fell off the bus"});
                         }),
              HasSubstr("fell off the bus"));
}

TEST_F(Nccl, AFaultDuringAnOperationEndsIt) {
  const std::string text = failure_of(3, [&](World& job) {
    const GpuRank rank(job);
    const auto comm = rank.everybody("data");
    const Tensor x = rank.on_gpu({1, 2, 3});
    if (job.rank() == 2) {  // never comes
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      cuda_on_cpu::break_nccl(0, ncclRemoteError);
      for (int i = 0; i < 500 && !job.aborted(); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      EXPECT_TRUE(job.aborted());
      return;
    }
    comm->broadcast(*rank.stream, x, 1);
    FAIL() << "a broadcast without its member has ended";
  });
  EXPECT_THAT(text, AllOf(HasSubstr("broadcast of 12 bytes"), HasSubstr("\"data\""), HasSubstr("rank 0@")));
}

TEST_F(Nccl, MembersThatDoNotConnectInTimeAreNamed) {
  const std::string text = failure_of(2, [&](World& job) {
    if (job.rank() == 0) {
      const GpuRank rank(job, NcclOptions{.join_limit = std::chrono::milliseconds(100)});
      rank.everybody("pipeline");
      return;
    }
    // Takes part on the host alone: its GPU has died, say.
    const auto host = job.group({.purpose = "pipeline", .members = {0, 1}});
    std::vector<uint8_t> id(sizeof(ncclUniqueId) + 1);
    WorkerPool pool(1);
    CpuStream stream(pool);
    host->broadcast(stream, Tensor::borrow(id.data(), DType::u8, {int64_t(id.size())}), 0);
    host->barrier();
  });
  EXPECT_THAT(text, AllOf(HasSubstr("connecting among the 2 ranks of \"pipeline\""),
                          HasSubstr("did not connect in time"), HasSubstr("rank 0@")));
}

TEST_F(Nccl, RanksThatShareAGpuAreRefusedByNccl) {
  EXPECT_THAT(failure_of(2, [&](World& job) { GpuRank(job, 0).everybody(); }),
              AllOf(HasSubstr("Duplicate GPU"), HasSubstr("give every rank a GPU of its own")));
}

TEST_F(Nccl, SizesThatDifferAreFound) {
  EXPECT_THAT(failure_of(2,
                         [&](World& job) {
                           const GpuRank rank(job);
                           const auto comm = rank.everybody();
                           comm->broadcast(*rank.stream, rank.on_gpu(std::vector<float>(4 + job.rank())), 0);
                         }),
              HasSubstr("different collective calls"));
}

// A rank that fails elsewhere leaves without waiting for the others to come to the same end.
TEST_F(Nccl, ARankThatFailsDoesNotWaitForTheOthers) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW(run_ranks(2,
                         [&](World& job) {
                           const GpuRank rank(job);
                           const auto comm = rank.everybody();
                           if (job.rank() == 0) throw std::runtime_error("no such file");
                           comm->all_reduce(*rank.stream, rank.on_gpu({1}));
                         }),
               std::runtime_error);
  EXPECT_EQ(nccl_counts().aborted, 2);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
}

// ---- the choice --------------------------------------------------------------------------------------

TEST_F(Nccl, IsChosenWhenEveryRankHasAGpu) {
  for (const bool shared : {false, true})
    run_ranks(3, [&](World& job) {
      const auto gpu = open_gpu(shared ? job.rank() / 2 : job.rank());
      std::string why;
      const auto world = make_device_world(job, gpu->device(), gpu->host_memory(), true, &why);
      EXPECT_EQ(why, shared ? "copies through the host (ranks share a GPU)" : "NCCL");
      const auto comm = world->group({.purpose = "all", .members = {0, 1, 2}});
      const auto stream = gpu->make_stream(OpenDevice::Use::communication);
      EXPECT_EQ(comm_cases::run_all(*comm, *stream, {.sizes = {7}, .memory = gpu->memory()}), "");
    });
  EXPECT_EQ(nccl_counts().destroyed, 3);
  run_ranks(2, [](World& job) { EXPECT_EQ(make_device_world(job, Device{}, nullptr, true), nullptr); });
}

}  // namespace
}  // namespace strata
