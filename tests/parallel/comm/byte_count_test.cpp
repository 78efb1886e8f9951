// SPDX-License-Identifier: Apache-2.0
// What a plan counts is what the transport carries: bytes received, and working memory.
#include <gtest/gtest.h>

#include <numeric>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"
#include "parallel/comm/plan_world.h"
#include "parallel/comm/thread_job.h"
#include "parallel/comm/thread_world.h"
#include "parallel/comm/transport_communicator.h"

namespace strata {
namespace {

// Counts what arrives over the threads' transport.
class CountingTransport : public Transport {
 public:
  CountingTransport(std::shared_ptr<ThreadGroup> group, int rank, int64_t* received)
      : group_(std::move(group)), rank_(rank), received_(received) {}
  void exchange(std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives) override {
    group_->exchange(rank_, sends, receives, posts_, served_);
    for (const ReceiveBytes& receive : receives) *received_ += receive.bytes;
  }

 private:
  std::shared_ptr<ThreadGroup> group_;
  int rank_;
  int64_t* received_;
  std::vector<ThreadGroup::Post> posts_;
  std::vector<char> served_;
};

struct Case {
  const char* name;
  // Makes its tensors and calls the operation: of n elements a member.
  void (*call)(Communicator&, Stream&, Allocator&, int64_t n);
};

Tensor tensor(Allocator& allocator, int64_t n, DType type = DType::f32) {
  return make_tensor(allocator, type, {n}, "counted");
}

const Case kCases[] = {
    {"all_gather", [](Communicator& c, Stream& s, Allocator& a,
                      int64_t n) { c.all_gather(s, tensor(a, n), tensor(a, n * c.size())); }},
    {"reduce_scatter", [](Communicator& c, Stream& s, Allocator& a,
                          int64_t n) { c.reduce_scatter(s, tensor(a, n * c.size()), tensor(a, n)); }},
    {"reduce_scatter of bf16",
     [](Communicator& c, Stream& s, Allocator& a, int64_t n) {
       c.reduce_scatter(s, tensor(a, n * c.size(), DType::bf16), tensor(a, n, DType::bf16));
     }},
    {"all_reduce",
     [](Communicator& c, Stream& s, Allocator& a, int64_t n) { c.all_reduce(s, tensor(a, 2048 + n)); }},
    {"all_to_all", [](Communicator& c, Stream& s, Allocator& a,
                      int64_t n) { c.all_to_all(s, tensor(a, n * c.size()), tensor(a, n * c.size())); }},
    {"broadcast",
     [](Communicator& c, Stream& s, Allocator& a, int64_t n) { c.broadcast(s, tensor(a, n), 0); }},
    {"exchange",
     [](Communicator& c, Stream& s, Allocator& a, int64_t n) {
       const std::vector<Message> sends = {{(c.rank() + 1) % c.size(), tensor(a, n)},
                                           {c.rank(), tensor(a, 3)}};
       const std::vector<Message> receives = {{c.rank(), tensor(a, 3)},
                                              {(c.rank() + c.size() - 1) % c.size(), tensor(a, n)}};
       c.exchange(s, sends, receives);
     }},
};

TEST(ByteCount, APlanCountsWhatTheTransportCarries) {
  for (const int ranks : {2, 3, 4, 5, 8})
    for (const int64_t n : {0, 1, 7, 5000, 20'000, 300'000}) {
      if (n == 300'000 && ranks > 3) continue;
      ThreadJob job(ranks);
      run_ranks(ranks, [&](World& world) {
        GroupSpec spec{.purpose = "all",
                       .members = std::vector<int>(static_cast<size_t>(ranks)),
                       .level = LinkLevel::node};
        std::iota(spec.members.begin(), spec.members.end(), 0);
        int64_t received = 0;
        const int rank = world.rank();
        TransportCommunicator comm(
            world, spec, rank, std::make_unique<CountingTransport>(job.join(spec, rank), rank, &received));
        const auto planned = make_plan_world(rank, ranks)->group(spec);
        WorkerPool pool(1);
        for (const Case& one : kCases) {
          SCOPED_TRACE(fmt::format("{} of {}, {} ranks", one.name, n, ranks));
          CpuStream stream(pool);
          MetaStream meta({DeviceKind::cpu, 0});
          received = 0;
          one.call(comm, stream, *make_cpu_allocator(), n);
          one.call(*planned, meta, *make_meta_allocator(), n);
          EXPECT_EQ(meta.count.wire_bytes[static_cast<size_t>(LinkLevel::node)], received);
          EXPECT_EQ(meta.scratch().high_water(), stream.scratch().high_water());
          // No more than what the others send of this member's part.
          const int64_t part = round_up(4 * (2048 + n), kTensorAlignment);
          EXPECT_LE(stream.scratch().high_water(), (ranks - 1) * std::min<int64_t>(part, 1 << 20));
        }
      });
    }
}

TEST(ByteCount, WorkingMemoryIsBoundedForAnyNumberOfRanks) {
  const auto allocator = make_meta_allocator();
  for (const int ranks : {2, 16, 64, 100, 1000, 10'000}) {
    GroupSpec spec{.purpose = "all", .members = std::vector<int>(static_cast<size_t>(ranks))};
    std::iota(spec.members.begin(), spec.members.end(), 0);
    const auto comm = make_plan_world(ranks / 2, ranks)->group(spec);
    MetaStream meta({DeviceKind::cpu, 0});
    comm->reduce_scatter(meta, tensor(*allocator, int64_t{1'000'000} * ranks), tensor(*allocator, 1'000'000));
    comm->all_reduce(meta, tensor(*allocator, int64_t{1'000'000} * ranks));
    EXPECT_LE(meta.scratch().high_water(), 64 << 20);
  }
}

TEST(PlanWorld, RunsNothing) {
  const auto comm = make_plan_world(0, 2)->group({.purpose = "x", .members = {0, 1}});
  WorkerPool pool(1);
  CpuStream stream(pool);
  EXPECT_THROW(comm->broadcast(stream, tensor(*make_cpu_allocator(), 3), 0), ContractError);
  EXPECT_THROW(comm->barrier(), ContractError);
}

}  // namespace
}  // namespace strata
