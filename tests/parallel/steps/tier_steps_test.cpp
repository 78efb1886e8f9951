// SPDX-License-Identifier: Apache-2.0
// Where state lives changes no bit: device, host and nvme (a tile store), any mixture and prefetch, under
// layouts of one and several ranks, against the same layout with everything at home on the device.
#include <gtest/gtest.h>

#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

void expect_same_bits_away(const StepRun& run, StepLayout layout, const std::vector<TierOptions>& options) {
  const StepOutcome here = run_steps(run, layout);
  for (const TierOptions& tiers : options) {
    layout.tiers = tiers;
    const std::string what = to_string(layout) + ": weights " + std::string(name(tiers.weights.tier)) +
                             ", master " + std::string(name(tiers.master.tier)) + ", moments " +
                             std::string(name(tiers.moments.tier)) + ", prefetch " +
                             std::to_string(tiers.prefetch);
    StepOutcome away = run_steps(run, layout);
    // What is away cannot be looked at in the middle of a step.
    if (tiers.gradients.tier != Tier::device) away.gradients = here.gradients;
    EXPECT_EQ(different_bits(away, here), "") << what;
  }
}

TEST(TierSteps, StateOnAnyTierTrainsWithTheSameBits) {
  for (const char* state : {"split", "fp32"}) {
    const StepRun run{
        .spec = small_llama(), .compute = DType::bf16, .state = state, .steps = 20, .evaluate = true};
    expect_same_bits_away(run, {},
                          {{.moments = on_host},
                           {.master = on_host, .moments = on_host, .prefetch = 1},
                           {.moments = on_nvme, .prefetch = 1},
                           {.master = on_nvme, .moments = on_nvme, .prefetch = 2},
                           {.master = on_nvme, .moments = on_nvme, .prefetch = 3},
                           {.master = on_nvme, .moments = on_host, .prefetch = 4},
                           {.master = {Tier::nvme, 0.5}, .moments = {Tier::nvme, 0.3}, .prefetch = 0}});
  }
}

TEST(TierSteps, UnderEveryPartitionAndPipeline) {
  const StepRun run{
      .spec = small_llama(true), .compute = DType::bf16, .state = "split", .steps = 3, .evaluate = true};
  const std::vector<TierOptions> tiers{{.master = on_host, .moments = on_nvme, .prefetch = 2},
                                       {.master = on_nvme, .moments = on_nvme, .prefetch = 1}};
  for (const StepLayout& layout :
       {StepLayout{.mesh = {.dp = 4}, .partition = {1, 1, 4}},
        StepLayout{.mesh = {.dp = 4}, .partition = {1, 4, 4}},
        StepLayout{.mesh = {.dp = 4}, .partition = {4, 4, 4}},
        StepLayout{.mesh = {.tp = 4}, .sequence = true},
        StepLayout{.mesh = {.pp = 4}, .schedule = "1f1b", .recompute = true},
        StepLayout{.mesh = {.pp = 2, .dp = 2}, .schedule = "zb-h1", .partition = {1, 2, 2}, .tree = true}})
    expect_same_bits_away(run, layout, tiers);
}

TEST(TierSteps, WeightsToo) {
  const std::vector<TierOptions> tiers{
      {.weights = on_host, .prefetch = 1},
      {.weights = on_nvme, .prefetch = 2},
      {.weights = on_nvme, .master = on_nvme, .moments = on_nvme, .prefetch = 0},
      {.weights = {Tier::nvme, 0.5}, .master = on_host, .moments = on_nvme, .prefetch = 4}};
  for (const bool tied : {false, true}) {
    const StepRun run{
        .spec = small_llama(tied), .compute = DType::bf16, .state = "split", .steps = 3, .evaluate = true};
    expect_same_bits_away(run, {}, tiers);
    expect_same_bits_away(run, {.recompute = true}, {tiers[1]});
    expect_same_bits_away(run, {.mesh = {.dp = 2, .tp = 2}, .partition = {2, 2, 2}}, {tiers[3]});
  }
  const StepRun run{
      .spec = small_llama(false), .compute = DType::bf16, .state = "split", .steps = 3, .evaluate = true};
  expect_same_bits_away(run, {.mesh = {.dp = 4}, .partition = {1, 2, 4}}, {tiers[2]});
  expect_same_bits_away(run, {.mesh = {.dp = 4}, .partition = {2, 4, 4}, .gather_ahead = 2},
                        {tiers[1], tiers[3]});
  expect_same_bits_away(run, {.mesh = {.pp = 2}, .schedule = "interleaved", .virtual_stages = 2}, {tiers[2]});
}

// Inputs of blocks wait elsewhere between forward and backward; whole groups of them where a block works on
// several micro-batches before the next one does.
TEST(TierSteps, ActivationsAndGroups) {
  const std::vector<TierOptions> tiers{{.activations = on_host, .prefetch = 1},
                                       {.activations = on_nvme, .prefetch = 2},
                                       {.weights = on_nvme,
                                        .master = on_nvme,
                                        .moments = on_nvme,
                                        .activations = {Tier::nvme, 0.5},
                                        .prefetch = 1}};
  const StepRun run{.spec = small_llama(false), .compute = DType::bf16, .state = "split", .steps = 4};
  const StepOutcome one = run_steps(run, {});
  for (const StepLayout& layout :
       {StepLayout{.recompute = true}, StepLayout{.recompute = true, .group = 0}, StepLayout{.group = 3}}) {
    EXPECT_EQ(different_bits(run_steps(run, layout), one), "") << to_string(layout);
    expect_same_bits_away(run, layout, tiers);
  }
  const StepRun tied{.spec = small_llama(true), .compute = DType::bf16, .state = "split", .steps = 4};
  const StepOutcome ordered = run_steps(tied, {.tree = true});
  for (StepLayout layout :
       {StepLayout{.mesh = {.dp = 2}, .partition = {2, 2, 2}, .recompute = true, .group = 0},
        StepLayout{.group = 4}}) {
    layout.tree = true;
    EXPECT_EQ(different_bits(run_steps(tied, layout), ordered), "") << to_string(layout);
    expect_same_bits_away(tied, layout, {tiers.back()});
  }
}

// Sums of gradients wait elsewhere between micro-batches and until the update; the norm is summed in its
// order.
TEST(TierSteps, GradientsToo) {
  const std::vector<TierOptions> tiers{
      {.gradients = on_host, .prefetch = 1},
      {.gradients = on_nvme, .prefetch = 0},
      {.gradients = {Tier::nvme, 0.5}, .prefetch = 2},
      {.weights = on_nvme, .gradients = on_nvme, .master = on_nvme, .moments = on_nvme, .prefetch = 1}};
  for (const bool tied : {false, true}) {
    const StepRun run{
        .spec = small_llama(tied), .compute = DType::bf16, .state = "split", .steps = 3, .evaluate = true};
    expect_same_bits_away(run, {}, tiers);
    expect_same_bits_away(run, {.tree = true, .recompute = true}, {tiers[2], tiers[3]});
    for (const StepLayout& layout :
         {StepLayout{.mesh = {.dp = 4}, .partition = {1, 1, 4}},
          StepLayout{.mesh = {.dp = 4}, .partition = {1, 4, 4}},
          StepLayout{.mesh = {.dp = 4}, .partition = {2, 2, 4}},
          StepLayout{.mesh = {.dp = 2, .tp = 2}, .tree = true},
          StepLayout{.mesh = {.pp = 2, .dp = 2}, .schedule = "zb-h1", .partition = {1, 2, 2}, .tree = true}})
      expect_same_bits_away(run, layout, {tiers[2], tiers[3]});
  }
  const StepRun run{.spec = small_llama(), .compute = DType::bf16, .state = "split", .steps = 3};
  expect_same_bits_away(run, {.recompute = true, .group = 0}, {tiers[0], tiers[3]});
}

// A drive that answers late is asked for several values at once, in both directions, and no bit changes.
TEST(TierSteps, ADriveHasSeveralRequestsAtOnce) {
  const StepRun run{
      .spec = small_llama(true), .compute = DType::bf16, .state = "split", .steps = 3, .evaluate = true};
  for (StepLayout layout : {StepLayout{}, StepLayout{.mesh = {.dp = 2}, .partition = {1, 2, 2}}}) {
    const StepOutcome here = run_steps(run, layout);
    layout.drive_us = 300;
    for (const TierOptions& tiers :
         {TierOptions{.master = on_nvme, .moments = on_nvme, .prefetch = 3},
          TierOptions{.weights = on_nvme, .master = on_nvme, .moments = on_nvme, .activations = on_nvme}}) {
      layout.tiers = tiers;
      const StepOutcome away = run_steps(run, layout);
      EXPECT_EQ(different_bits(away, here), "") << to_string(layout);
      for (const StepOutcome::Rank& rank : away.ranks) {
        EXPECT_GT(rank.most_reads, 2u) << to_string(layout);
        EXPECT_GT(rank.most_writes, 1u) << to_string(layout);
      }
    }
  }
}

// Random sleeps before every action of every lane.
TEST(TierSteps, TimingChangesNoBit) {
  const StepRun run{.spec = small_llama(true), .compute = DType::bf16, .state = "split", .steps = 3};
  for (StepLayout layout : {StepLayout{}, StepLayout{.mesh = {.dp = 2}, .partition = {2, 2, 2}}}) {
    const StepOutcome first = run_steps(run, layout);
    layout.tiers = {.weights = on_nvme, .master = on_host, .moments = on_nvme, .prefetch = 2};
    layout.threads = 2;
    layout.max_delay_us = 200;
    EXPECT_EQ(different_bits(run_steps(run, layout), first), "") << to_string(layout);
  }
}

}  // namespace
}  // namespace strata
