// SPDX-License-Identifier: Apache-2.0
// Updates that wait for the next step change no bit: whatever the tiers, the prefetch, the partition and the
// pipeline, also when somebody looks at the weights in between.
#include <gtest/gtest.h>

#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

const TierOptions kNowhere{}, kMoments{.moments = on_nvme, .prefetch = 1},
    kState{.master = on_nvme, .moments = on_nvme, .prefetch = 3},
    kGradients{.gradients = on_host, .moments = on_host, .prefetch = 2},
    kAll{.weights = on_nvme,
         .gradients = on_nvme,
         .master = on_nvme,
         .moments = on_nvme,
         .activations = on_nvme,
         .prefetch = 1},
    kHalf{.weights = {Tier::nvme, 0.5},
          .gradients = {Tier::nvme, 0.5},
          .master = on_host,
          .moments = on_nvme,
          .prefetch = 0};

void expect_same_bits_deferred(const StepRun& run, StepLayout layout,
                               const std::vector<TierOptions>& options) {
  StepOutcome sync = run_steps(run, layout);
  sync.gradients.clear();  // cannot always be looked at
  layout.timing = Timing::deferred;
  for (size_t i = 0; i < options.size(); ++i) {
    layout.tiers = options[i];
    StepOutcome deferred = run_steps(run, layout);
    deferred.gradients.clear();
    EXPECT_EQ(different_bits(deferred, sync), "") << to_string(layout) << ", option " << i;
  }
}

// The weights are looked at after the third step of five, and again by the evaluation.
StepRun five_steps(bool tied) {
  return {.spec = small_llama(tied),
          .compute = DType::bf16,
          .state = "split",
          .steps = 5,
          .compared_step = 3,
          .grad_clip = 0.1f,
          .evaluate = true};
}

TEST(DeferredSteps, OnAnyTier) {
  for (const bool tied : {false, true})
    expect_same_bits_deferred(five_steps(tied), {}, {kNowhere, kMoments, kState, kGradients, kAll, kHalf});
  StepRun run = five_steps(false);
  run.state = "fp32";
  run.compared_step = 5;
  expect_same_bits_deferred(run, {.recompute = true}, {kNowhere, kAll});
  run.compute = DType::f32;
  expect_same_bits_deferred(run, {}, {kNowhere, kHalf});
}

TEST(DeferredSteps, UnderPartitionsAndPipelines) {
  for (const StepLayout& layout :
       {StepLayout{.mesh = {.dp = 2}, .partition = {1, 1, 2}},
        StepLayout{.mesh = {.dp = 4}, .partition = {2, 2, 4}},
        StepLayout{.mesh = {.dp = 2}, .partition = {2, 2, 2}, .gather_ahead = 2},
        StepLayout{.mesh = {.pp = 2, .dp = 2}, .schedule = "zb-h1", .partition = {1, 2, 2}, .tree = true},
        StepLayout{.mesh = {.pp = 2}, .schedule = "interleaved", .virtual_stages = 2}})
    expect_same_bits_deferred(five_steps(true), layout, {kState, kAll});
  expect_same_bits_deferred(five_steps(false), {.mesh = {.dp = 2, .tp = 2}, .partition = {2, 2, 2}}, {kHalf});
}

TEST(DeferredSteps, InGroups) {
  expect_same_bits_deferred(five_steps(false), {.recompute = true, .group = 0}, {kNowhere, kGradients, kAll});
}

// Random sleeps before every action of every lane, and drives that answer late.
TEST(DeferredSteps, WheneverTheyCome) {
  StepLayout layout{.mesh = {.dp = 2}, .partition = {2, 2, 2}, .threads = 2};
  StepOutcome sync = run_steps(five_steps(true), layout);
  layout.timing = Timing::deferred;
  layout.tiers = kAll;
  for (const auto& [delay_us, drive_us] : {std::pair{200, 0}, std::pair{0, 300}}) {
    layout.max_delay_us = delay_us, layout.drive_us = drive_us;
    StepOutcome deferred = run_steps(five_steps(true), layout);
    deferred.gradients = sync.gradients;
    EXPECT_EQ(different_bits(deferred, sync), "") << to_string(layout);
  }
}

}  // namespace
}  // namespace strata
