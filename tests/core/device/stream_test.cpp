// SPDX-License-Identifier: Apache-2.0
#include "core/device/stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"

namespace strata {
namespace {

using Mode = CpuStream::Mode;

TEST(CpuStream, InlineWorkIsDoneOnReturn) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  int value = 0;
  stream.enqueue([&] { value = 1; });
  EXPECT_EQ(value, 1);
  EXPECT_TRUE(stream.record().done());
  EXPECT_THROW(stream.enqueue([] { throw std::runtime_error("inline"); }), std::runtime_error);
}

TEST(CpuStream, ThreadedWorkRunsInOrderElsewhere) {
  WorkerPool pool(1);
  std::vector<int> order;
  std::thread::id where;
  {
    CpuStream stream(pool, Mode::threaded);
    for (int i = 0; i < 1000; ++i) stream.enqueue([&order, i] { order.push_back(i); });
    stream.enqueue([&] { where = std::this_thread::get_id(); });
    stream.synchronize();
    EXPECT_EQ(order.size(), 1000u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    EXPECT_NE(where, std::this_thread::get_id());
    for (int i = 1000; i < 1100; ++i) stream.enqueue([&order, i] { order.push_back(i); });
  }
  EXPECT_EQ(order.size(), 1100u) << "the destructor finishes what was enqueued";
}

TEST(CpuStream, AnEventIsDoneWhenTheWorkBeforeItIs) {
  WorkerPool pool(1);
  CpuStream stream(pool, Mode::threaded);
  std::atomic<bool> go = false;
  stream.enqueue([&] {
    while (!go) std::this_thread::yield();
  });
  const Event event = stream.record();
  EXPECT_FALSE(event.done());
  go = true;
  event.wait();
  EXPECT_TRUE(event.done());
  EXPECT_TRUE(Event().done());
  Event().wait();
}

TEST(CpuStream, WaitsForAnotherStreamWithoutBlockingTheCaller) {
  WorkerPool pool(1);
  CpuStream producer(pool, Mode::threaded), consumer(pool, Mode::threaded);
  std::atomic<bool> go = false;
  int value = 0, seen = -1;
  producer.enqueue([&] {
    while (!go) std::this_thread::yield();
    value = 42;
  });
  consumer.wait(producer.record());
  consumer.enqueue([&] { seen = value; });
  const Event end = consumer.record();
  EXPECT_FALSE(end.done());
  go = true;
  end.wait();
  EXPECT_EQ(seen, 42);
}

TEST(CpuStream, AnInlineStreamWaitsAtOnce) {
  WorkerPool pool(1);
  CpuStream producer(pool, Mode::threaded), consumer(pool, Mode::inline_);
  int value = 0;
  producer.enqueue([&] { value = 7; });
  consumer.wait(producer.record());
  consumer.enqueue([&] { EXPECT_EQ(value, 7); });
}

TEST(CpuStream, AFailureSkipsTheRestAndReachesEveryWait) {
  WorkerPool pool(1);
  CpuStream stream(pool, Mode::threaded), other(pool, Mode::threaded);
  const Event before = stream.record();
  bool ran = false;
  stream.enqueue([] { throw std::runtime_error("the first cause"); });
  stream.enqueue([&] { ran = true; });
  const auto failure_of = [](const Event& event) -> std::string {
    try {
      event.wait();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "none";
  };
  const Event after = stream.record();
  EXPECT_EQ(failure_of(before), "none");
  EXPECT_EQ(failure_of(after), "the first cause");
  EXPECT_EQ(failure_of(after), "the first cause") << "again";
  EXPECT_FALSE(ran);
  other.wait(after);
  other.enqueue([&] { ran = true; });
  EXPECT_EQ(failure_of(other.record()), "the first cause") << "through the stream that waited";
  EXPECT_FALSE(ran);
}

TEST(CpuStream, CarriesItsInstructionSet) {
  WorkerPool pool(1);
  EXPECT_EQ(CpuStream(pool).isa(), active_isa());
  EXPECT_EQ(CpuStream(pool, Mode::inline_, Isa::portable).isa(), Isa::portable);
}

TEST(Stream, CastsCheckTheDevice) {
  WorkerPool pool(1);
  CpuStream cpu(pool);
  MetaStream meta({DeviceKind::cuda, 1});
  EXPECT_EQ(&cpu_stream(cpu), &cpu);
  EXPECT_EQ(&meta_stream(meta), &meta);
  EXPECT_EQ(meta.target(), (Device{DeviceKind::cuda, 1}));
  EXPECT_THROW(cpu_stream(meta), ContractError);
  try {
    meta_stream(cpu);
    ADD_FAILURE() << "no error";
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(), "[meta] expected the meta stream, got cpu");
  }
}

// Bytes of a scope that ended are still in use by the work that was enqueued in it.
TEST(CpuStream, ScratchOutlivesItsScopeUntilTheWorkIsDone) {
  WorkerPool pool(1);
  CpuStream stream(pool, Mode::threaded);
  std::atomic<int> sum = 0;
  for (int round = 0; round < 20; ++round) {
    Scratch::Scope outer(stream.scratch());
    for (const int64_t bytes : {int64_t{1} << 10, int64_t{3} << 20, int64_t{9} << 20}) {
      Scratch::Scope scope(stream.scratch());
      std::byte* memory = stream.scratch().take(bytes);
      stream.enqueue([memory, bytes, &sum] {
        memory[0] = memory[bytes - 1] = std::byte{1};
        sum += static_cast<int>(memory[0]);
      });
    }
  }
  stream.synchronize();
  EXPECT_EQ(sum, 60);
}

}  // namespace
}  // namespace strata
