// SPDX-License-Identifier: Apache-2.0
// What the base class does: the identity of one member, the checks, and what is counted on a meta stream.
#include "core/dist/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"

namespace strata {
namespace {

using testing::HasSubstr;

GroupSpec members(int n, LinkLevel level = LinkLevel::node) {
  GroupSpec spec{.purpose = "test", .members = std::vector<int>(static_cast<size_t>(n)), .level = level};
  std::iota(spec.members.begin(), spec.members.end(), 0);
  return spec;
}

// Remembers what reached it.
class Probe : public Communicator {
 public:
  Probe(int size, int rank, LinkLevel level = LinkLevel::node) : Communicator(members(size, level), rank) {}
  void run(Stream&, const Collective& op, std::byte* scratch) override {
    ran.push_back(op.kind);
    last_scratch = scratch;
  }
  void run_barrier() override { ran.push_back(CollectiveKind::barrier); }
  int64_t scratch_bytes(const Collective&, DeviceKind device) const override {
    return device == DeviceKind::cpu ? 1000 : 77;
  }

  std::vector<CollectiveKind> ran;
  std::byte* last_scratch = nullptr;
};

class CommunicatorTest : public testing::Test {
 protected:
  Tensor tensor(Shape shape, DType type = DType::f32) { return make_tensor(*allocator, type, shape, "test"); }

  std::shared_ptr<Allocator> allocator = make_cpu_allocator();
  WorkerPool pool{1};
  CpuStream stream{pool};
};

template <typename Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const ContractError& error) {
    return error.what();
  }
  return "accepted";
}

TEST_F(CommunicatorTest, OneMemberIsTheIdentity) {
  const auto world = make_solo_world();
  const auto alone = world->group({.purpose = "test", .members = {0}});
  const Tensor a = tensor({5}), b = tensor({5});
  for (int i = 0; i < 5; ++i) a.data<float>()[i] = static_cast<float>(i + 1);
  const auto expect_copied = [&] {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(b.data<float>()[i], i + 1);
    for (float& x : b.span<float>()) x = 0;
  };
  alone->all_gather(stream, a, b);
  expect_copied();
  alone->reduce_scatter(stream, a, b);
  expect_copied();
  alone->all_to_all(stream, a, b);
  expect_copied();
  const std::vector<Message> sends = {{0, a}}, receives = {{0, b}};
  alone->exchange(stream, sends, receives);
  expect_copied();
  alone->all_reduce(stream, a);
  alone->broadcast(stream, a, 0);
  alone->all_gather(stream, a, a);
  alone->barrier();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(a.data<float>()[i], i + 1);
}

TEST_F(CommunicatorTest, OneMembersCopiesKeepTheStreamsOrder) {
  const auto world = make_solo_world();
  const auto alone = world->group({.purpose = "test", .members = {0}});
  CpuStream threaded(pool, CpuStream::Mode::threaded);
  const Tensor a = tensor({1}), b = tensor({1});
  threaded.enqueue([a] { a.data<float>()[0] = 7; });
  alone->all_gather(threaded, a, b);
  threaded.synchronize();
  EXPECT_EQ(b.data<float>()[0], 7);
}

TEST_F(CommunicatorTest, GivesATransportItsScratch) {
  Probe probe(4, 1);
  probe.all_reduce(stream, tensor({8}));
  probe.barrier();
  EXPECT_THAT(probe.ran, testing::ElementsAre(CollectiveKind::all_reduce, CollectiveKind::barrier));
  EXPECT_NE(probe.last_scratch, nullptr);
  EXPECT_EQ(stream.scratch().high_water(), round_up(1000, kTensorAlignment));
}

TEST_F(CommunicatorTest, RefusesWhatDoesNotFit) {
  Probe probe(4, 1);
  const Tensor whole = tensor({8}), part = tensor({2}), three = tensor({3});
  const Tensor codes = tensor({8}, DType::u8), matrix = tensor({4, 4});
  const auto refused = [&](auto call) { return refusal([&] { call(); }); };
  EXPECT_THAT(refused([&] { probe.all_gather(stream, three, whole); }),
              HasSubstr("4 parts of 3 elements do not make a whole of 8"));
  EXPECT_THAT(refused([&] { probe.all_gather(stream, part, codes); }), HasSubstr("one type, got f32 and u8"));
  EXPECT_THAT(refused([&] { probe.all_gather(stream, whole.slice(0, 0, 2), whole); }),
              HasSubstr("not the place of member 1"));
  EXPECT_EQ(refused([&] { probe.all_gather(stream, whole.slice(0, 2, 2), whole); }), "accepted");
  EXPECT_THAT(refused([&] { probe.reduce_scatter(stream, whole, whole.slice(0, 4, 2)); }),
              HasSubstr("not the place of member 1"));
  EXPECT_THAT(refused([&] { probe.reduce_scatter(stream, codes, codes.slice(0, 2, 2)); }),
              HasSubstr("no sum of u8"));
  EXPECT_THAT(refused([&] { probe.all_reduce(stream, tensor({2}, DType::i64), Reduction::max); }),
              HasSubstr("no max of i64"));
  EXPECT_EQ(refused([&] { probe.all_reduce(stream, tensor({2}, DType::i64)); }), "accepted");
  EXPECT_THAT(refused([&] { probe.all_reduce(stream, matrix.t()); }), HasSubstr("contiguous"));
  EXPECT_THAT(refused([&] { probe.all_reduce(stream, Tensor()); }), HasSubstr("absent"));
  EXPECT_THAT(refused([&] { probe.all_to_all(stream, whole, whole); }), HasSubstr("overlap"));
  EXPECT_THAT(refused([&] { probe.all_to_all(stream, three, tensor({3})); }), HasSubstr("3 and 3 elements"));
  EXPECT_THAT(refused([&] { probe.broadcast(stream, whole, 4); }), HasSubstr("root 4 of 4"));
  const std::vector<Message> far = {{4, whole}}, self = {{1, whole}}, short_self = {{1, part}};
  EXPECT_THAT(refused([&] { probe.exchange(stream, far, {}); }), HasSubstr("member 4 of 4"));
  EXPECT_THAT(refused([&] { probe.exchange(stream, self, {}); }), HasSubstr("sends itself 1 messages"));
  EXPECT_THAT(refused([&] { probe.exchange(stream, self, short_self); }),
              HasSubstr("32 bytes and receives 8"));
  MetaStream meta({});
  EXPECT_THAT(refused([&] { probe.all_reduce(meta, whole); }), HasSubstr("is on cpu, the stream on meta"));
}

TEST(Groups, MembersAreDistinctRanksOfTheJobAndHoldTheCaller) {
  EXPECT_EQ(place_in({.purpose = "x", .members = {4, 2, 0}}, 2, 5), 1);
  EXPECT_THROW(place_in({.purpose = "x", .members = {4, 2, 0}}, 1, 5), ContractError);
  EXPECT_THROW(place_in({.purpose = "x", .members = {4, 2, 4}}, 2, 5), ContractError);
  EXPECT_THROW(place_in({.purpose = "x", .members = {2, 5}}, 2, 5), ContractError);
}

TEST(Share, DealsEvenlyInOrder) {
  for (const int64_t count : {0, 1, 7, 8, 9, 1000})
    for (const int size : {1, 2, 3, 8}) {
      int64_t at = 0;
      for (int rank = 0; rank < size; ++rank) {
        const Share own = share(count, size, rank);
        EXPECT_EQ(own.begin, at);
        EXPECT_TRUE(own.count == count / size || own.count == count / size + 1);
        at += own.count;
      }
      EXPECT_EQ(at, count);
    }
}

// The formulas of the literature, for sizes that divide (Rabenseifner 2004 and every ring since).
TEST(Meta, CountsWhatAMemberReceives) {
  const auto allocator = make_meta_allocator();
  for (const int q : {1, 2, 3, 4, 8, 16})
    for (int rank = 0; rank < q; ++rank) {
      const int64_t n = 24 * q, x = n * 4;
      Probe probe(q, rank, LinkLevel::rail);
      const auto tensor = [&](int64_t count) {
        return make_tensor(*allocator, DType::f32, {count}, "planned");
      };
      const auto counted = [&](auto call) {
        MetaStream meta({DeviceKind::cpu, 0});
        call(meta);
        EXPECT_EQ(meta.scratch().high_water(), q == 1 ? 0 : round_up(1000, kTensorAlignment));
        const auto& counts = meta.count.wire_bytes;
        const int64_t bytes = counts[static_cast<size_t>(LinkLevel::rail)];
        EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), bytes) << "at another level";
        return bytes;
      };
      EXPECT_EQ(counted([&](Stream& s) { probe.all_gather(s, tensor(n / q), tensor(n)); }), x * (q - 1) / q);
      EXPECT_EQ(counted([&](Stream& s) { probe.reduce_scatter(s, tensor(n), tensor(n / q)); }),
                x * (q - 1) / q);
      EXPECT_EQ(counted([&](Stream& s) { probe.all_reduce(s, tensor(n)); }), 2 * x * (q - 1) / q);
      EXPECT_EQ(counted([&](Stream& s) { probe.all_to_all(s, tensor(n), tensor(n)); }), x * (q - 1) / q);
      EXPECT_EQ(counted([&](Stream& s) { probe.broadcast(s, tensor(n), q - 1); }), rank == q - 1 ? 0 : x);
      const int next = (rank + 1) % q, last = (rank + q - 1) % q;
      const std::vector<Message> sends = {{next, tensor(n)}}, receives = {{last, tensor(n)}};
      EXPECT_EQ(counted([&](Stream& s) { probe.exchange(s, sends, receives); }), q == 1 ? 0 : x);
      EXPECT_TRUE(probe.ran.empty());
    }
}

TEST(Meta, TheMembersOfAnUnevenAllReduceReceiveWhatIsSent) {
  const Tensor values = make_tensor(*make_meta_allocator(), DType::bf16, {11}, "planned");
  const Collective op{.kind = CollectiveKind::all_reduce, .from = values, .to = values};
  int64_t all = 0;
  for (int rank = 0; rank < 4; ++rank) all += received_bytes(op, rank, 4);
  EXPECT_EQ(all, 2 * 3 * values.bytes());
}

}  // namespace
}  // namespace strata
