// SPDX-License-Identifier: Apache-2.0
// 8-bit training under layouts, a few cells of the table that tests/parallel/steps/matrix runs whole
// (precision/layouts.md).
#include <gtest/gtest.h>

#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

// Ordered mode: factors belong to a micro-batch, delayed ones to all of a step, so that nobody's depend on
// who works on it, nor on where weights wait.
TEST(RecipeSteps, SameBitsWhoeverHasTheMicroBatchAndTheBlock) {
  for (const char* recipe : {"block", "tensor-delayed"}) {
    StepRun run = eight_bit_run(recipe);
    const StepOutcome one = run_steps(run, {.tree = true});
    for (const StepLayout& layout :
         {StepLayout{.mesh = {.dp = 4}, .partition = {4, 4, 4}, .tree = true},
          StepLayout{.mesh = {.pp = 2, .dp = 2},
          .schedule = "zb-h1",
          .partition = {1, 2, 2},
          .tree = true,
          .recompute = true},
          StepLayout{.mesh = {.dp = 2},
          .partition = {2, 2, 2},
          .tree = true,
          .tiers = {.weights = on_nvme, .master = on_nvme, .moments = on_nvme, .prefetch = 1}}})
      EXPECT_EQ(different_bits(run_steps(run, layout), one), "") << recipe << ", " << to_string(layout);
  }
}

TEST(RecipeSteps, SharesOfALayerStayWithinTheNoise) {
  StepRun run = eight_bit_run("block");
  const StepOutcome one = run_steps(run, {});
  run.recipe.clear();
  const StepOutcome plain = run_steps(run, {});
  run.recipe = "block";
  const StepLayout layout{.mesh = {.dp = 2, .tp = 2}, .sequence = true, .partition = {2, 2, 2}};
  EXPECT_EQ(beyond_noise(run_steps(run, layout), one, plain), "");
}

// Codes travel in place of values: half the bytes, and the bits do not change, wherever shards end.
TEST(RecipeSteps, WeightsGatheredAsCodesAreTheSame) {
  for (const char* recipe : {"block", "tensor-current"}) {
    StepRun run = eight_bit_run(recipe);
    run.evaluate = true;
    for (const StepLayout& layout :
         {StepLayout{.mesh = {.dp = 4}, .partition = {4, 4, 4}},
          StepLayout{.mesh = {.pp = 2, .dp = 2, .tp = 2}, .sequence = true, .partition = {2, 2, 2}}}) {
      SCOPED_TRACE(std::string(recipe) + ", " + to_string(layout));
      run.gather_codes = false;
      const StepOutcome values = run_steps(run, layout);
      run.gather_codes = true;
      const StepOutcome codes = run_steps(run, layout);
      EXPECT_EQ(different_bits(codes, values), "");
      for (size_t rank = 0; rank < codes.ranks.size(); ++rank) {
        EXPECT_EQ(codes.ranks[rank].received_by_level, codes.ranks[rank].planned_by_level);
        // Besides, there are magnitudes and the gains of norms.
        const int64_t of_values = values.ranks[rank].planned_of_layers;
        EXPECT_LT(codes.ranks[rank].planned_of_layers, 0.51 * of_values);
        EXPECT_GE(2 * codes.ranks[rank].planned_of_layers, of_values);
      }
    }
  }
}

}  // namespace
}  // namespace strata
