// SPDX-License-Identifier: Apache-2.0
// The executor on real threads and real bytes: handlers do what the judge says, in the planned arena, on
// random lanes with random delays. Any access out of order is a data race for the thread sanitizer and a
// wrong result for us.
#include "core/program/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/program/passes.h"
#include "core/program/simulate.h"
#include "tests/core/program/allocation_count.h"
#include "tests/core/program/judge.h"
#include "tests/core/program/plain_blocks.h"
#include "tests/core/program/random_programs.h"

namespace strata {
namespace {

using judge::Content;
using random_programs::Random;

// Arenas in host memory, holding the initial values.
class Memory {
 public:
  explicit Memory(const LinkedProgram& linked) {
    for (size_t tier = 0; tier < kNumTiers; ++tier) {
      bytes_[tier].resize(static_cast<size_t>(linked.memory[static_cast<Tier>(tier)].arena));
      bases[tier] = bytes_[tier].data();
    }
    for (const Value& value : linked.program.initial) {
      const PlannedBuffer& home = linked.home(value);
      write({bases[static_cast<size_t>(value.tier)] + home.offset, home.bytes},
            judge::initial_content(value));
    }
  }

  static void write(OperandBytes to, const Content& content) {
    for (int64_t at = 0; at < to.bytes; at += static_cast<int64_t>(sizeof content))
      std::memcpy(to.data + at, content.data(), sizeof content);
  }
  // Throws when the bytes are not the same content all over.
  static Content read(OperandBytes from) {
    Content content, other;
    std::memcpy(content.data(), from.data, sizeof content);
    for (int64_t at = 0; at < from.bytes; at += static_cast<int64_t>(sizeof content)) {
      std::memcpy(other.data(), from.data + at, sizeof content);
      if (other != content) throw judge::Wrong("torn value");
    }
    return content;
  }

  void expect(const LinkedProgram& linked, const judge::Contents& contents) const {
    for (const Value& value : linked.program.initial) {
      const PlannedBuffer& home = linked.home(value);
      EXPECT_EQ(read({bases[static_cast<size_t>(value.tier)] + home.offset, home.bytes}),
                contents.at(key(value)))
          << to_string(value);
    }
  }

  ArenaBases bases{};

 private:
  std::array<std::vector<std::byte>, kNumTiers> bytes_;
};

// Reads and writes an action's operands where the plan has put them.
class Bound : public judge::Values {
 public:
  explicit Bound(const Invocation& invocation) : invocation_(invocation) {}
  Content get(const Value& value) override { return Memory::read(invocation_.bytes_of(value)); }
  void make(const Value& value, const Content& content) override { change(value, content); }
  void change(const Value& value, const Content& content) override {
    Memory::write(invocation_.bytes_of(value), content);
  }

 private:
  const Invocation& invocation_;
};

Executor::Handlers all_kinds(Handler handler) {
  Executor::Handlers handlers;
  for (Handler& h : handlers) h = handler;
  return handlers;
}

Executor::Handlers judging(const LinkedProgram& linked) {
  return all_kinds([&linked](const Invocation& invocation) {
    if (invocation.scratch().bytes > 0)
      std::memset(invocation.scratch().data, 0xFF, static_cast<size_t>(invocation.scratch().bytes));
    Bound values(invocation);
    judge::apply(invocation.action(), linked.program, invocation.step(), {}, values);
  });
}

TEST(Executor, RandomProgramsOnRandomLanesComeOutRight) {
  Random random(9);
  const random_programs::Costs costs;
  constexpr int kSteps = 4;
  for (int i = 0; i < 60; ++i) {
    const Program program =
        i % 6 == 0 ? random_programs::evaluation(random) : random_programs::training(random);
    const LinkedProgram linked = link(program, costs,
                                      {.lane_of = random_programs::lanes(random, 1 + i % kNumLanes),
                                       .budget = {i % 2 == 0 ? 0 : 64 * 400}});
    Memory memory(linked);
    Executor executor(linked, judging(linked), memory.bases,
                      {.max_delay_us = i % 3 == 0 ? 60 : 0, .delay_seed = static_cast<uint64_t>(i)});
    for (int step = 0; step < kSteps; ++step) {
      executor.run_step();
      if (i % 4 == 0) executor.drain();  // with and without overlap of steps
    }
    executor.drain();
    memory.expect(linked, judge::reference(program, kSteps, {}));
  }
}

// On the lanes of drives several actions are at work at once. Some do their work when they begin, some when
// they end: what waits do not keep apart comes out wrong.
TEST(Executor, ActionsOfADriveOverlapAndComeOutRight) {
  Random random(11);
  const random_programs::Costs costs;
  size_t most_at_once = 0;
  for (int i = 0; i < 60; ++i) {
    const Program program = random_programs::training(random);
    const LaneMap lanes = i % 2 == 0 ? LaneMap(default_lane) : random_programs::lanes(random, kNumLanes);
    const LinkedProgram linked = link(program, costs, {.lane_of = lanes});
    Memory memory(linked);
    const Handler work = judging(linked)[0];
    std::array<std::vector<int32_t>, kNumLanes> begun;  // of each lane, by its thread alone
    std::array<size_t, kNumLanes> most{};
    const auto late = [](const Invocation& at) {
      return hash_combine(7, at.position() + at.step()) % 2 == 0;
    };
    const Handler begin = [&](const Invocation& at) {
      const auto lane = static_cast<size_t>(at.lane());
      if (!overlaps(at.lane())) return work(at);
      begun[lane].push_back(at.position());
      most[lane] = std::max(most[lane], begun[lane].size());
      if (!late(at)) work(at);
    };
    const Handler end = [&](const Invocation& at) {
      auto& mine = begun[static_cast<size_t>(at.lane())];
      EXPECT_EQ(mine.front(), at.position()) << "not in the lane's order";
      mine.erase(mine.begin());
      if (late(at)) work(at);
    };
    {
      Executor executor(linked, all_kinds(begin), memory.bases,
                        {.end = end, .most_begun = 1 + i % 5, .max_delay_us = i % 3 == 0 ? 60 : 0});
      for (int step = 0; step < 4; ++step) executor.run_step();
      executor.drain();
    }
    memory.expect(linked, judge::reference(program, 4, {}));
    for (const size_t count : most) {
      EXPECT_LE(count, static_cast<size_t>(1 + i % 5));
      most_at_once = std::max(most_at_once, count);
    }
  }
  EXPECT_GE(most_at_once, 3u);
}

// Memory on its way must not go before it has arrived.
TEST(Executor, WhatADriveHasBegunEndsAlsoAfterAFailure) {
  const random_programs::Costs costs;
  auto blocks = model(4);
  for (BlockInfo& block : blocks) block.moments_home = Tier::nvme;
  const LinkedProgram linked =
      link(make_step(blocks, 1, {.tiers = {.moments = {Tier::nvme}, .prefetch = 3}}), costs);
  std::atomic<int> begun{0}, ended{0};
  {
    Memory memory(linked);
    Executor executor(linked, all_kinds([&](const Invocation& at) {
                        begun += overlaps(at.lane());
                        if (at.action().kind != Kind::update) return;
                        while (begun < 2) std::this_thread::yield();
                        throw std::runtime_error("update on fire");
                      }),
                      memory.bases, {.end = [&](const Invocation&) { ++ended; }});
    EXPECT_THROW(executor.run_step(), std::runtime_error);
  }
  EXPECT_GE(begun, 2);
  EXPECT_EQ(begun, ended);
}

// The order of each lane is the simulator's, and no action starts before those the simulator put before it by
// a wait.
TEST(Executor, OrderAgreesWithTheSimulator) {
  Random random(10);
  const random_programs::Costs costs;
  for (int i = 0; i < 10; ++i) {
    const LinkedProgram linked =
        link(random_programs::training(random), costs, {.lane_of = random_programs::lanes(random, 4)});
    Memory memory(linked);
    std::mutex mutex;
    std::vector<ActionEvent> events;
    constexpr int kSteps = 3;
    {
      Executor executor(linked, judging(linked), memory.bases, {.trace = [&](const ActionEvent& event) {
                          const std::lock_guard lock(mutex);
                          events.push_back(event);
                        }});
      for (int step = 0; step < kSteps; ++step) executor.run_step();
      executor.drain();
    }
    std::array<std::vector<std::pair<int64_t, int32_t>>, kNumLanes> planned, real;
    for (const Timeline::Entry& entry : simulate(linked, costs, kSteps).entries)
      planned[static_cast<size_t>(entry.lane)].push_back({entry.step, entry.position});
    std::map<std::pair<int64_t, int32_t>, ActionEvent> by_action;
    for (const ActionEvent& event : events) {
      real[static_cast<size_t>(event.lane)].push_back({event.step, event.position});
      by_action[{event.step, event.position}] = event;
      EXPECT_LE(event.begin_ns, event.end_ns);
      EXPECT_GE(event.wait_ns, 0);
    }
    EXPECT_EQ(real, planned);
    for (const ActionEvent& event : events)
      for (const Wait& wait : linked.waits_of(event.position)) {
        const int64_t step = event.step - (wait.previous_step ? 1 : 0);
        if (step < 0) continue;
        const int32_t on = linked.lanes[static_cast<size_t>(wait.lane)][static_cast<size_t>(wait.sequence)];
        EXPECT_GE(event.begin_ns, by_action.at({step, on}).end_ns);
      }
  }
}

TEST(Executor, StepsOverlapAcrossTheirBoundary) {
  const random_programs::Costs costs;
  const LaneMap lanes = [](const Action& a) {
    return a.kind == Kind::clip || a.kind == Kind::update || a.kind == Kind::pack ? Lane::host
                                                                                  : Lane::compute;
  };
  // Updates are on another lane, the first block is frozen: its forward needs nothing of them.
  auto blocks = model(3);
  blocks[0].trainable = blocks[0].packed = false;
  Program program = make_step(blocks, 1);
  std::erase(program.list, parse_action("begin"));
  program.list.insert(program.list.begin() + 1, parse_action("begin"));  // after forward 0
  const LinkedProgram linked = link(program, costs, {.lane_of = lanes, .budget = {1 << 20}});
  Memory memory(linked);
  // The update of step 0 ends only when forward 0 of step 1 has run.
  std::atomic<bool> next_step{false};
  auto handlers = judging(linked);
  const Handler work = handlers[0];
  handlers[static_cast<size_t>(Kind::forward)] = [&](const Invocation& invocation) {
    work(invocation);
    if (invocation.step() == 1 && invocation.action().block == 0) next_step = true;
  };
  handlers[static_cast<size_t>(Kind::update)] = [&](const Invocation& invocation) {
    while (invocation.step() == 0 && !next_step) std::this_thread::yield();
    work(invocation);
  };
  Executor executor(linked, handlers, memory.bases);
  executor.run_step();
  EXPECT_FALSE(next_step);
  executor.run_step();
  executor.drain();
  memory.expect(linked, judge::reference(program, 2, {}));
}

TEST(Executor, FirstFailureStopsEveryLaneAndIsRethrown) {
  const random_programs::Costs costs;
  const LaneMap lanes = [](const Action& a) {
    return a.kind == Kind::backward_weight ? Lane::host
           : a.kind == Kind::norm          ? Lane::disk_read
                                           : Lane::compute;
  };
  const LinkedProgram linked = link(make_step(model(4), 3), costs, {.lane_of = lanes});
  const Action other_lane = parse_action("backward_weight 1 mb=1 accumulate");
  for (const Action& faulty : {parse_action("backward_input 2 mb=1"), other_lane, parse_action("norm 0")}) {
    for (const int faulty_step : {0, 2}) {
      Memory memory(linked);
      std::atomic<bool> failed{false};
      std::atomic<int> after{0};
      const auto handlers = judging(linked);
      Executor executor(linked, all_kinds([&](const Invocation& invocation) {
                          after += failed.load();
                          if (invocation.action() == faulty && invocation.step() == faulty_step) {
                            failed = true;
                            throw std::runtime_error("disk on fire");
                          }
                          handlers[0](invocation);
                        }),
                        memory.bases);
      std::string caught;
      for (int step = 0; step < 4 && caught.empty(); ++step) {
        try {
          executor.run_step();
          executor.drain();
        } catch (const std::runtime_error& error) {
          caught = error.what();
        }
        EXPECT_EQ(caught.empty(), step < faulty_step);
      }
      EXPECT_EQ(caught, "disk on fire");
      EXPECT_LE(after, 2) << "at most the actions that the other two lanes were about to start";
      EXPECT_THROW(executor.run_step(), std::runtime_error);
      EXPECT_THROW(executor.drain(), std::runtime_error);
    }
  }
}

TEST(Executor, CanBeDestroyedWhileLanesWait) {
  const random_programs::Costs costs;
  const LaneMap lanes = [](const Action& a) { return a.kind == Kind::update ? Lane::host : Lane::compute; };
  const LinkedProgram linked = link(make_step(model(3), 1), costs, {.lane_of = lanes});
  Memory memory(linked);
  { const Executor idle(linked, judging(linked), memory.bases); }
  Executor begun(linked, judging(linked), memory.bases, {.max_delay_us = 200});
  begun.run_step();  // and not drained
}

TEST(Executor, StepsAllocateNothing) {
  const random_programs::Costs costs;
  const LaneMap lanes = [](const Action& a) {
    return a.kind == Kind::backward_weight ? Lane::host : Lane::compute;
  };
  const LinkedProgram linked = link(make_step(model(6), 4), costs, {.lane_of = lanes});
  Memory memory(linked);
  std::atomic<int64_t> traced{0};
  int64_t progressed = 0;
  Executor executor(
      linked, judging(linked), memory.bases,
      {.trace = [&](const ActionEvent&) { ++traced; }, .progress = [&](int64_t, int64_t) { ++progressed; }});
  executor.run_step();
  executor.drain();
  const int64_t before = allocation_count();
  for (int step = 0; step < 5; ++step) executor.run_step();
  executor.drain();
  EXPECT_EQ(allocation_count() - before, 0);
  EXPECT_GT(traced, progressed);
  EXPECT_GT(before, 0) << "nothing is counted";
}

TEST(Executor, MissingHandlerIsNamed) {
  const random_programs::Costs costs;
  const LinkedProgram linked = link(make_step(model(3), 1), costs);
  auto handlers = judging(linked);
  handlers[static_cast<size_t>(Kind::norm)] = nullptr;
  handlers[static_cast<size_t>(Kind::loss_only)] = nullptr;  // does not occur
  try {
    Executor executor(linked, handlers, {});
    FAIL();
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(), "[executor] no handler for `norm 0`");
  }
}

TEST(Executor, InvocationFindsOperands) {
  const random_programs::Costs costs;
  auto blocks = model(3);
  blocks[2].tied_to = 0;
  const LinkedProgram linked = link(make_step(blocks, 2), costs);
  int seen = 0;
  std::vector<std::pair<int64_t, int64_t>> progress;
  Executor executor(
      linked, all_kinds([&](const Invocation& invocation) {
        if (invocation.action().kind != Kind::loss) return;
        ++seen;
        EXPECT_EQ(invocation.bytes_of(ValueClass::weight, 0).bytes,
                  costs.bytes({.cls = ValueClass::weight, .block = 0}));
        EXPECT_EQ(invocation.bytes_of(ValueClass::weight, 2).data, nullptr) << "no memory behind it";
        EXPECT_EQ(invocation.operand(ValueClass::x, 2).value.micro_batch, invocation.action().micro_batch);
        EXPECT_EQ(invocation.operand(ValueClass::grad, 0).access,
                  invocation.action().micro_batch == 0 ? Access::create : Access::accumulate);
        EXPECT_EQ(invocation.find(ValueClass::moments, 2), nullptr);
        EXPECT_EQ(invocation.find(ValueClass::weight, 0, Tier::host), nullptr);
        try {
          invocation.operand(ValueClass::moments, 2);
          ADD_FAILURE();
        } catch (const ContractError& error) {
          EXPECT_THAT(error.what(), testing::HasSubstr("has no operand `moments 2`"));
        }
      }),
      {}, {.progress = [&](int64_t done, int64_t total) {
        progress.push_back({done, total});
      }});
  executor.run_step();
  EXPECT_EQ(seen, 2);
  const auto total = static_cast<int64_t>(linked.lanes[0].size());
  ASSERT_EQ(progress.size(), static_cast<size_t>(total));
  EXPECT_EQ(progress.front(), std::pair(int64_t{1}, total));
  EXPECT_EQ(progress.back(), std::pair(total, total));
}

}  // namespace
}  // namespace strata
