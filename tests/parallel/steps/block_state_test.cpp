// SPDX-License-Identifier: Apache-2.0
// State formats in blocks, rounded stochastically: bits do not depend on how state is cut, nor on where it
// lives.
#include <gtest/gtest.h>

#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

StepRun run_with(const char* state) {
  return {.spec = small_llama(true),
          .compute = DType::bf16,
          .state = state,
          .steps = 4,
          .compared_step = 4,
          .grad_clip = 0.1f,
          .evaluate = true};
}

TEST(BlockState, CutsChangeNoBit) {
  for (const char* state : {"split8", "sr8"}) {
    const StepRun run = run_with(state);
    const StepOutcome one = run_steps(run, {.tree = true});
    for (StepLayout layout :
         {StepLayout{.mesh = {.dp = 2}, .partition = {1, 1, 2}},
          StepLayout{.mesh = {.dp = 2}, .partition = {2, 2, 2}},
          StepLayout{.mesh = {.dp = 4}, .partition = {2, 2, 4}},
          StepLayout{.mesh = {.pp = 2, .dp = 2}, .schedule = "zb-h1", .partition = {1, 2, 2}}}) {
      layout.tree = true;
      EXPECT_EQ(different_bits(run_steps(run, layout), one), "") << state << ": " << to_string(layout);
    }
  }
}

TEST(BlockState, TiersAndTimingChangeNoBit) {
  for (const char* state : {"split8", "sr8"}) {
    const StepRun run = run_with(state);
    StepLayout layout{.mesh = {.dp = 2}, .partition = {2, 2, 2}};
    const StepOutcome here = run_steps(run, layout);
    for (const TierOptions& tiers :
         {TierOptions{.moments = on_nvme, .prefetch = 1},
          TierOptions{.weights = on_nvme, .gradients = on_host, .master = on_nvme, .moments = on_nvme}})
      for (const Timing timing : {Timing::sync, Timing::deferred}) {
        layout.tiers = tiers;
        layout.timing = timing;
        StepOutcome away = run_steps(run, layout);
        away.gradients = here.gradients;
        EXPECT_EQ(different_bits(away, here), "") << state << ": " << to_string(layout);
      }
  }
}

}  // namespace
}  // namespace strata
