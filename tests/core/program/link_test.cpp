// SPDX-License-Identifier: Apache-2.0
// Linking: buffers, addresses, waits, memory figures, and how long it takes. That waits and addresses are
// right is proved by verify_test; here is what they look like.
#include "core/program/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/device/buffer.h"
#include "core/program/passes.h"
#include "core/program/simulate.h"
#include "core/program/verify.h"
#include "tests/core/program/plain_blocks.h"
#include "tests/core/program/random_programs.h"

namespace strata {
namespace {

// Sizes in the proportions of a small transformer at 4 x 256 tokens, hidden 768; 32 blocks between embedding
// and head.
class TransformerCosts : public CostModel {
 public:
  explicit TransformerCosts(int num_blocks) : head_(num_blocks - 1) {}

  int64_t bytes(const Value& value) const override {
    const int64_t parameters = value.block == 0 || value.block == head_ ? 50304 * 768 : 12 * 768 * 768;
    switch (value.cls) {
      case ValueClass::x:
      case ValueClass::dx:
        return kTokens * kHidden * 2;
      case ValueClass::saved_input:
        return kTokens * kHidden * 2 * 9 + kTokens * 12 * 4;
      case ValueClass::saved_weight:
        return kTokens * kHidden * 2 * 7;
      case ValueClass::deferred:
        return kTokens * kHidden * 2 * 8;
      case ValueClass::weight:
      case ValueClass::packed:
        return parameters * 2;
      case ValueClass::grad:
        return parameters * 4;
      case ValueClass::master:
        return parameters * 2;
      case ValueClass::moments:
        return parameters * 4;
      case ValueClass::map:
      case ValueClass::scalars:
        return 256;
    }
    return 0;
  }
  int64_t scratch_bytes(const Action& action) const override {
    return action.block == head_ ? 32 << 20 : 1 << 20;
  }
  double seconds(const Action& action) const override {
    switch (action.kind) {
      case Kind::loss:
        return 3e-3;
      case Kind::norm:
      case Kind::update:
      case Kind::pack:
        return 1e-4;
      default:
        return 1e-3;
    }
  }

 private:
  static constexpr int64_t kTokens = 1024, kHidden = 768;
  int head_;
};

TEST(Link, OneLaneNeedsNoWaits) {
  const random_programs::Costs costs;
  const LinkedProgram linked = link(make_step(model(4), 3), costs);
  EXPECT_TRUE(linked.waits.empty());
  size_t running = 0;
  for (const LinkedAction& action : linked.actions) running += action.runs;
  EXPECT_EQ(linked.lanes[static_cast<size_t>(Lane::compute)].size(), running);
  EXPECT_LT(running, linked.actions.size()) << "frees are on no lane";
}

// What is waited for, worked out by hand: gradients of weights on a lane of their own.
TEST(Link, WaitsOfTwoLanesWordForWord) {
  const random_programs::Costs costs;
  Program program = make_step(model(3), 1);
  const LaneMap lanes = [](const Action& a) {
    return a.kind == Kind::backward_weight ? Lane::host : Lane::compute;
  };
  // Memory in plenty: only values make waits, and reuse across the step boundary.
  const LinkedProgram linked = link(program, costs, {.lane_of = lanes, .budget = {1 << 20}});
  std::string text;
  for (int32_t i = 0; i < static_cast<int32_t>(program.list.size()); ++i) {
    for (const Wait& wait : linked.waits_of(i)) {
      const int32_t on = linked.lanes[static_cast<size_t>(wait.lane)][static_cast<size_t>(wait.sequence)];
      text += to_string(program.list[static_cast<size_t>(i)]) + " <- " +
              to_string(program.list[static_cast<size_t>(on)]) + (wait.previous_step ? " (before)" : "") +
              "\n";
    }
  }
  EXPECT_EQ(
      text,
      // backward_weight 1 wants x, saved_weight, dx 2, deferred: backward_input 1 is the newest of their
      // makers. Its gradient's memory was used by the step before, whose update backward_input 1 follows on
      // its lane.
      "backward_weight 1 mb=0 overwrite <- backward_input 1 mb=0\n"
      // backward_weight 0 wants dx 1, which is known by then. norm 0 wants its result; norm 1's is older.
      "norm 0 <- backward_weight 0 mb=0 overwrite\n");
}

TEST(Link, AddressesOfInitialValuesAreTheirHomes) {
  const random_programs::Costs costs;
  const LinkedProgram linked = link(make_step(model(4), 2), costs);
  std::set<int64_t> seen;
  for (const Value& value : linked.program.initial) {
    const PlannedBuffer& home = linked.home(value);
    EXPECT_EQ(home.value, value);
    EXPECT_TRUE(seen.insert(home.offset).second);
    for (const Operand& operand : linked.operands)
      if (operand.value == value) {
        EXPECT_EQ(operand.offset, home.offset);
      }
  }
  EXPECT_THROW(linked.home({.cls = ValueClass::grad, .block = 1}), ContractError);
}

// An evaluation finds the weights where the step has put them, whatever the working memory of either.
TEST(Link, ProgramsOverTheSameValuesAgreeOnTheirHomes) {
  class LittleScratch : public TransformerCosts {
   public:
    using TransformerCosts::TransformerCosts;
    int64_t scratch_bytes(const Action&) const override { return 64; }
  };
  const LinkedProgram step = link(make_step(model(4), 2), TransformerCosts(4));
  const LinkedProgram evaluation = link(make_evaluation(model(4), 1), LittleScratch(4));
  for (const Value& value : step.program.initial)
    EXPECT_EQ(step.home(value).offset, evaluation.home(value).offset);
}

// An initial value that ends and is made again within the step - the gradients of an update deferred into the
// next step - comes back to where it was.
TEST(Link, AnInitialValueMadeAnewReturnsHome) {
  const random_programs::Costs costs;
  Program program = make_step(model(3), 2);
  std::erase_if(program.list, [](const Action& a) {
    return a.kind == Kind::update || a.kind == Kind::pack ||
           (a.kind == Kind::free && a.cls == ValueClass::grad);
  });
  std::vector<Action> deferred;
  for (int16_t b = 0; b < 3; ++b) {
    const Value grad{.cls = ValueClass::grad, .block = b};
    program.initial.push_back(grad);
    deferred.push_back({.kind = Kind::update, .block = b});
    deferred.push_back(free_of(grad));
    deferred.push_back({.kind = Kind::pack, .block = b});
  }
  program.list.insert(program.list.begin(), deferred.begin(), deferred.end());
  const LaneMap lanes = [](const Action& a) { return a.kind == Kind::update ? Lane::host : Lane::compute; };
  const LinkedProgram linked = link(program, costs, {.lane_of = lanes});
  EXPECT_EQ(explain(program, verify(linked)), "");
  for (const Operand& operand : linked.operands)
    if (operand.value.cls == ValueClass::grad) {
      EXPECT_EQ(operand.offset, linked.home(operand.value).offset);
    }
  // The update of a step waits for the clip of the step before.
  const int32_t first_update = 0;
  ASSERT_EQ(linked.waits_of(first_update).size(), 1u);
  EXPECT_TRUE(linked.waits_of(first_update)[0].previous_step);
}

TEST(Link, RefusesAListThatDoesNotHoldTogether) {
  const random_programs::Costs costs;
  const auto message = [&](auto change) -> std::string {
    Program program = make_step(model(3), 1);
    change(program);
    try {
      link(program, costs);
    } catch (const ContractError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message([](Program& p) { std::erase(p.list, parse_action("forward 0 mb=0 save")); }),
              testing::HasSubstr("`forward 1 mb=0 save` reads `x 1 mb=0`, which does not exist"));
  EXPECT_THAT(message([](Program& p) { p.list.insert(p.list.begin(), parse_action("forward 0 mb=0 save")); }),
              testing::HasSubstr("`forward 0 mb=0 save` creates `x 1 mb=0`, which exists already"));
  EXPECT_THAT(message([](Program& p) { p.initial.push_back(p.initial[0]); }),
              testing::HasSubstr("is listed twice"));
  EXPECT_THAT(message([](Program& p) { p.list.push_back(parse_action("free weight 1")); }),
              testing::HasSubstr("initial value `weight 1` does not exist at the end"));
}

TEST(Link, ArenaStaysCloseToLiveBytes) {
  constexpr int kBlocks = 34, kMicroBatches = 16;
  const TransformerCosts costs(kBlocks);
  std::vector<int> all;
  for (int b = 1; b < kBlocks - 1; ++b) all.push_back(b);
  for (const std::vector<int>& recompute : {std::vector<int>{}, all}) {
    const LinkedProgram linked =
        link(make_step(model(kBlocks), kMicroBatches, {.recompute = recompute}), costs);
    const auto& device = linked.memory[Tier::device];
    const double ratio = static_cast<double>(device.arena) / static_cast<double>(device.live_peak);
    std::printf("%s%zu actions, arena / live %.3f\n", to_string(linked.memory).c_str(), linked.actions.size(),
                ratio);
    EXPECT_GE(ratio, 1);
    EXPECT_LE(ratio, 1.17);  // the prototype's worst, reference/program.md section 2
    EXPECT_EQ(explain(linked.program, verify(linked)), "");
  }
}

TEST(Link, ReportCountsEveryByteOnce) {
  const TransformerCosts costs(5);
  const LinkedProgram linked = link(make_step(model(5), 2), costs);
  const auto& device = linked.memory[Tier::device];
  int64_t sum = device.scratch;
  for (const int64_t bytes : device.by_class) sum += bytes;
  EXPECT_EQ(sum, device.live_peak);
  EXPECT_EQ(device.scratch, 32 << 20);
  int64_t weights = 0;
  for (int16_t b = 0; b < 5; ++b) weights += costs.bytes({.cls = ValueClass::weight, .block = b});
  EXPECT_EQ(device.by_class[static_cast<size_t>(ValueClass::weight)], weights);
  EXPECT_THAT(to_string(linked.memory), testing::HasSubstr("  scratch          32.0 MiB\n"));
  EXPECT_EQ(linked.memory[Tier::host].arena, 0);
}

TEST(Link, BudgetBuysRoomAndIsKept) {
  const TransformerCosts costs(8);
  const LaneMap lanes = [](const Action& a) {
    return a.kind == Kind::backward_weight ? Lane::host : Lane::compute;
  };
  const Program program = make_step(model(8), 4);
  const LinkedProgram tight = link(program, costs, {.lane_of = lanes});
  const int64_t smallest = tight.memory[Tier::device].arena;
  const LinkedProgram roomy = link(program, costs, {.lane_of = lanes, .budget = {smallest * 3 / 2}});
  EXPECT_GT(roomy.memory[Tier::device].arena, smallest);
  EXPECT_LE(roomy.memory[Tier::device].arena, smallest * 3 / 2);
  EXPECT_LT(simulate(roomy, costs, 3).step_seconds, simulate(tight, costs, 3).step_seconds)
      << "lanes wait for each other's memory less";
  const LinkedProgram bounded = link(program, costs, {.lane_of = lanes, .budget = {smallest}});
  EXPECT_EQ(bounded.memory[Tier::device].arena, smallest) << "a wish that does not fit is dropped";
}

// Processor seconds of planning one step of 98 blocks on three lanes, everything recomputed.
struct PlanningTime {
  size_t actions = 0, waits = 0;
  double build = 0, link = 0, verify = 0, simulate = 0;
};

PlanningTime plan(int micro_batches) {
  constexpr int kBlocks = 98;
  const TransformerCosts costs(kBlocks);
  const LaneMap lanes = [](const Action& a) {
    return a.kind == Kind::backward_weight ? Lane::host
           : a.kind == Kind::recompute     ? Lane::h2d
                                           : Lane::compute;
  };
  std::vector<int> recompute;
  for (int b = 1; b < kBlocks - 1; ++b) recompute.push_back(b);
  std::clock_t mark = std::clock();
  const auto lap = [&] {
    const std::clock_t before = std::exchange(mark, std::clock());
    return static_cast<double>(mark - before) / CLOCKS_PER_SEC;
  };
  PlanningTime time;
  Program program = make_step(model(kBlocks), micro_batches, {.recompute = recompute});
  time.build = lap();
  const LinkedProgram linked = link(std::move(program), costs, {.lane_of = lanes});
  time.link = lap();
  EXPECT_TRUE(verify(linked).empty());
  time.verify = lap();
  EXPECT_EQ(simulate(linked, costs).deadlock, "");
  time.simulate = lap();
  time.actions = linked.actions.size();
  time.waits = linked.waits.size();
  return time;
}

// No limit in seconds: it would measure the machine and its sanitizers. Growth shows a quadratic algorithm.
TEST(Link, PlanningTimeGrowsWithTheListAndNotFaster) {
  const PlanningTime part = plan(32), whole = plan(128);
  std::printf("%zu actions, %zu waits: build %.3f s, link %.3f s, verify %.3f s, simulate %.3f s\n",
              whole.actions, whole.waits, whole.build, whole.link, whole.verify, whole.simulate);
  EXPECT_GT(whole.actions, 100000u);
  EXPECT_LT(whole.link, 4 * 2.5 * part.link + 0.05);
  EXPECT_LT(whole.verify, 4 * 2.5 * part.verify + 0.05);
}

}  // namespace
}  // namespace strata
