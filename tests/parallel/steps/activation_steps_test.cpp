// SPDX-License-Identifier: Apache-2.0
// Boundary activations in 8 bits away from the device: the backward pass reads rounded inputs, no forward
// does, and which tier they wait on, how far ahead they are loaded and when, changes no bit.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

// Rows of two tiles, the second one shorter.
StepRun wide_run(DType compute = DType::bf16) {
  StepRun run{.spec = small_llama(), .compute = compute, .state = compute == DType::f32 ? "fp32" : "split"};
  run.spec.hidden = 160;
  run.spec.head_dim = 40;
  run.learning_rate = 1e-3f;
  return run;
}

TierOptions in_8_bits(TierHome home, int prefetch = 2) {
  return {.activations = home, .activation_format = ActivationFormat::fp8, .prefetch = prefetch};
}

StepOutcome run_with(const StepRun& run, StepLayout layout, const TierOptions& tiers) {
  layout.tiers = tiers;
  return run_steps(run, layout);
}

// A code keeps 4 bits of an element, 2^-4 of it at most is lost, in a direction of its own: first gradients
// are within that of the ones without. Losses are means over much of it, and follow by what a step changes.
constexpr double kRoundedGradients = 0.0625, kRoundedLoss = 1e-3;

TEST(ActivationSteps, OnlyTheBackwardPassIsRounded) {
  StepRun run = wide_run();
  run.steps = run.compared_step = 20;
  for (const bool recompute : {true, false}) {
    const StepLayout layout{.recompute = recompute};
    const StepOutcome values = run_steps(run, layout), codes = run_with(run, layout, in_8_bits(on_host));
    EXPECT_EQ(codes.losses[0], values.losses[0]);
    EXPECT_NE(codes.gradients, values.gradients);
    EXPECT_GT(farthest(codes.gradients, values.gradients), 1e-4);
    EXPECT_LT(farthest(codes.gradients, values.gradients), kRoundedGradients);
    ASSERT_LT(values.losses.back(), 0.98 * values.losses[0]);
    for (size_t step = 0; step < values.losses.size(); ++step)
      EXPECT_NEAR(codes.losses[step], values.losses[step], kRoundedLoss * values.losses[step]) << step;
    for (const TierOptions& tiers :
         {in_8_bits(on_nvme), in_8_bits(on_host, 0), in_8_bits({Tier::nvme, 0.5}, 1)})
      EXPECT_EQ(different_bits(run_with(run, layout, tiers), codes), "") << recompute;
  }
}

TEST(ActivationSteps, NoBitDependsOnTierPrefetchGroupOrTiming) {
  const StepRun run = wide_run();
  const StepLayout plain{.recompute = true};
  const StepOutcome codes = run_with(run, plain, in_8_bits(on_host));
  for (const int prefetch : {0, 1, 4})
    for (const TierHome& home : {on_host, on_nvme, TierHome{Tier::nvme, 0.5}})
      EXPECT_EQ(different_bits(run_with(run, plain, in_8_bits(home, prefetch)), codes), "") << prefetch;
  for (const int group : {3, 0}) {
    StepLayout layout = plain;
    layout.group = group;
    EXPECT_EQ(different_bits(run_with(run, layout, in_8_bits(on_nvme)), codes), "") << group;
  }
  TierOptions everything = in_8_bits(on_nvme);
  everything.weights = everything.master = everything.moments = on_nvme;
  StepLayout late = plain;
  late.max_delay_us = 200;
  late.threads = 2;
  EXPECT_EQ(different_bits(run_with(run, late, everything), codes), "");
  late.max_delay_us = 0;
  late.drive_us = 200;
  EXPECT_EQ(different_bits(run_with(run, late, everything), codes), "");
  // What stays on the device is not rounded: the head's input, which never leaves, and the first layer's.
  const StepOutcome kept = run_with(run, plain, in_8_bits({Tier::host, 0.5}));
  EXPECT_NE(kept.gradients, codes.gradients);
  EXPECT_EQ(different_bits(run_with(run, plain, in_8_bits({Tier::host, 1})), run_steps(run, plain)), "");
}

// The rows that a rank holds of an input are what it makes codes of.
TEST(ActivationSteps, UnderEveryLayout) {
  for (const DType compute : {DType::bf16, DType::f32}) {
    const StepRun run = wide_run(compute);
    for (const StepLayout& layout :
         {StepLayout{.mesh = {.dp = 2}, .partition = {2, 2, 2}, .recompute = true},
          StepLayout{.mesh = {.tp = 2}, .sequence = true}, StepLayout{.mesh = {.cp = 2}, .recompute = true},
          StepLayout{.mesh = {.pp = 2}, .schedule = "1f1b", .recompute = true},
          StepLayout{
              .mesh = {.pp = 2, .dp = 2}, .schedule = "zb-h1", .partition = {1, 2, 2}, .tree = true}}) {
      const StepOutcome values = run_steps(run, layout), codes = run_with(run, layout, in_8_bits(on_host));
      EXPECT_EQ(codes.losses[0], values.losses[0]) << to_string(layout);
      EXPECT_GT(farthest(codes.gradients, values.gradients), 1e-4) << to_string(layout);
      EXPECT_LT(farthest(codes.gradients, values.gradients), kRoundedGradients) << to_string(layout);
      EXPECT_EQ(different_bits(run_with(run, layout, in_8_bits(on_nvme, 1)), codes), "") << to_string(layout);
    }
  }
}

// A data-parallel run and a pipeline of as many samples round the same rows.
TEST(ActivationSteps, OrderedModeKeepsItsBits) {
  const StepRun run = wide_run();
  const StepOutcome one = run_with(run, {.tree = true, .recompute = true}, in_8_bits(on_host));
  for (const StepLayout& layout :
       {StepLayout{.mesh = {.dp = 4}, .partition = {1, 2, 4}, .tree = true, .recompute = true},
        StepLayout{.mesh = {.pp = 2}, .schedule = "1f1b", .tree = true, .recompute = true}})
    EXPECT_EQ(different_bits(run_with(run, layout, in_8_bits(on_nvme)), one), "") << to_string(layout);
}

}  // namespace
}  // namespace strata
