// SPDX-License-Identifier: Apache-2.0
// The simulator: the one-stage rows of the formulas for pipelines, overlap of lanes, steady state, deadlock.
#include "core/program/simulate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/program/grid.h"
#include "core/program/passes.h"
#include "tests/core/program/plain_blocks.h"
#include "tests/core/program/random_programs.h"
#include "tests/core/program/unit_costs.h"

namespace strata {
namespace {

Timeline run(const Grid& grid, int blocks, int micro_batches, const LinkOptions& options = {}) {
  Program program = expand_stages(grid, {{0, blocks}}, model(blocks), micro_batches, Goal::train);
  optimizer_pass()(program);
  free_pass()(program);
  const UnitCosts costs;
  return simulate(link(std::move(program), costs, options), costs);
}

// p = 1 of the table of bubbles: no idle time whatever the schedule, (TF + TB + TW) m in all; GPipe keeps m
// stage units, 1F1B p - r = 1.
TEST(Simulate, OneStageHasNoBubble) {
  constexpr int kBlocks = 6, kInner = kBlocks - 2;
  for (const int m : {1, 2, 7}) {
    const Timeline one = run(one_stage(m), kBlocks, m);
    EXPECT_EQ(one.deadlock, "");
    EXPECT_DOUBLE_EQ(one.makespan, 3.0 * kInner * m);
    EXPECT_DOUBLE_EQ(one.bubble(Lane::compute), 0);
    EXPECT_EQ(one.live_peak[0], 64 * kInner);

    Grid gpipe;
    for (int16_t mb = 0; mb < m; ++mb) gpipe.push_back({CellKind::forward, 0, mb});
    for (int16_t mb = 0; mb < m; ++mb) gpipe.push_back({CellKind::backward, 0, mb});
    const Timeline all = run(gpipe, kBlocks, m);
    EXPECT_DOUBLE_EQ(all.makespan, 3.0 * kInner * m);
    EXPECT_DOUBLE_EQ(all.bubble(Lane::compute), 0);
    EXPECT_EQ(all.live_peak[0], 64 * kInner * m);
  }
}

// Weight gradients on a second lane, one inner block: F I F I ... on one lane, W beside it.
TEST(Simulate, LanesOverlap) {
  const LaneMap lanes = [](const Action& a) {
    return a.kind == Kind::backward_weight ? Lane::host : Lane::compute;
  };
  const Timeline both = run(one_stage(4), 3, 4, {.lane_of = lanes, .budget = {1 << 20}});
  EXPECT_EQ(both.deadlock, "");
  EXPECT_DOUBLE_EQ(both.busy[static_cast<size_t>(Lane::compute)], 8);
  EXPECT_DOUBLE_EQ(both.busy[static_cast<size_t>(Lane::host)], 4);
  EXPECT_DOUBLE_EQ(both.makespan, 9);  // the last W alone
  // One saved_weight's room instead: forward waits for the W of the micro-batch before.
  const Timeline tight = run(one_stage(4), 3, 4, {.lane_of = lanes});
  EXPECT_DOUBLE_EQ(tight.makespan, 12);
}

TEST(Simulate, RespectsLanesWaitsAndMemory) {
  random_programs::Random random(8);
  const random_programs::Costs costs;
  for (int i = 0; i < 100; ++i) {
    const LinkedProgram linked = link(random_programs::training(random), costs,
                                      {.lane_of = random_programs::lanes(random, kNumLanes)});
    constexpr int kSteps = 3;
    const Timeline timeline = simulate(linked, costs, kSteps);
    ASSERT_EQ(timeline.deadlock, "");
    std::vector<double> begin(kSteps * linked.actions.size()), end(begin);
    std::array<double, kNumLanes> lane_end{};
    for (const Timeline::Entry& entry : timeline.entries) {
      const size_t at =
          static_cast<size_t>(entry.step) * linked.actions.size() + static_cast<size_t>(entry.position);
      begin[at] = entry.begin;
      end[at] = entry.end;
      EXPECT_GE(entry.begin, lane_end[static_cast<size_t>(entry.lane)]);
      lane_end[static_cast<size_t>(entry.lane)] = entry.end;
    }
    for (const Timeline::Entry& entry : timeline.entries)
      for (const Wait& wait : linked.waits_of(entry.position)) {
        const int step = entry.step - (wait.previous_step ? 1 : 0);
        if (step < 0) continue;
        const int32_t on = linked.lanes[static_cast<size_t>(wait.lane)][static_cast<size_t>(wait.sequence)];
        ASSERT_GE(entry.begin,
                  end[static_cast<size_t>(step) * linked.actions.size() + static_cast<size_t>(on)]);
      }
    EXPECT_LE(timeline.live_peak[0], linked.memory[Tier::device].arena);
    EXPECT_GT(timeline.step_seconds, 0);
    EXPECT_LE(timeline.step_seconds, timeline.makespan);
  }
}

TEST(Simulate, DeadlockSaysWhoWaitsWhere) {
  const UnitCosts costs;
  const LaneMap lanes = [](const Action& a) { return a.kind == Kind::norm ? Lane::host : Lane::compute; };
  LinkedProgram linked = link(make_step(model(3), 1), costs, {.lane_of = lanes});
  linked.actions[0].first_wait = static_cast<int32_t>(linked.waits.size());
  linked.actions[0].num_waits = 1;
  linked.waits.push_back({Lane::host, false, 0});
  EXPECT_THAT(simulate(linked, costs).deadlock,
              testing::HasSubstr(
                  "lane compute waits at action 0 `begin` for `norm 0` of lane host; lane host waits at "));
}

}  // namespace
}  // namespace strata
