// SPDX-License-Identifier: Apache-2.0
// Whole runs whose linear layers multiply in 8 bits: every recipe learns what bf16 learns, and what must not
// change a bit does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "launch/train/precision.h"
#include "tests/launch/train/tiny_run.h"

namespace strata {
namespace {

class Fp8Run : public TinyRun {
 protected:
  LoadedConfig with(const std::string& out, const std::string& recipe,
                    std::vector<std::string> overrides = {}) const {
    overrides.insert(overrides.begin(), {"precision.compute=fp8", "precision.recipe=" + recipe});
    return config(out, std::move(overrides));
  }
  std::vector<double> losses_with(const std::string& out, const std::string& recipe,
                                  std::vector<std::string> overrides = {}) const {
    EXPECT_EQ(train(with(out, recipe, std::move(overrides))), 0) << out;
    return losses(out);
  }
  static double mean_of_last(const std::vector<double>& losses, size_t count) {
    double sum = 0;
    for (size_t i = losses.size() - count; i < losses.size(); ++i) sum += losses[i];
    return sum / static_cast<double>(count);
  }
};

TEST_F(Fp8Run, EveryRecipeLearnsWhatBf16Learns) {
  ASSERT_EQ(train(config("bf16")), 0);
  const std::vector<double> wide = losses("bf16");
  const double reached = mean_of_last(wide, 20);
  ASSERT_LT(reached, 0.7 * wide[0]);
  for (const QuantizationRecipe& recipe : quantization_recipes()) {
    const std::vector<double> narrow = losses_with(std::string(recipe.name), std::string(recipe.name));
    EXPECT_NE(narrow, wide) << recipe.name;
    EXPECT_NEAR(narrow[0], wide[0], 0.02 * wide[0]) << recipe.name;
    EXPECT_NEAR(mean_of_last(narrow, 20), reached, 0.02 * reached) << recipe.name;
  }
}

TEST_F(Fp8Run, WithoutAnyProductItIsBf16) {
  ASSERT_EQ(train(config("bf16", {"run.steps=10"})), 0);
  EXPECT_EQ(losses_with("none", "block", {"run.steps=10", "precision.products=[]"}), losses("bf16"));
  EXPECT_EQ(losses_with("kept", "row", {"run.steps=10", "precision.high_precision=[\"*\"]"}), losses("bf16"));
  EXPECT_EQ(losses_with("ends", "row", {"run.steps=10", "precision.keep_first=1", "precision.keep_last=1"}),
            losses("bf16"));
  EXPECT_EQ(losses_with("small", "row", {"run.steps=10", "precision.smallest=1000000"}), losses("bf16"));
  // Each product on its own changes something.
  for (const std::string product : {"forward", "backward_input", "backward_weight"})
    EXPECT_NE(losses_with(product, "block", {"run.steps=10", "precision.products=[\"" + product + "\"]"}),
              losses("bf16"))
        << product;
}

TEST_F(Fp8Run, ThreadsRecomputationAndTiersChangeNoBit) {
  for (const std::string recipe : {"tensor-current", "row", "block", "tensor-delayed"}) {
    const std::vector<double> plain = losses_with(recipe, recipe, {"run.steps=12"});
    EXPECT_EQ(losses_with(recipe + "_threads", recipe, {"run.steps=12", "run.threads=1"}), plain) << recipe;
    EXPECT_EQ(losses_with(recipe + "_recomputed", recipe, {"run.steps=12", "parallel.recompute=full"}), plain)
        << recipe;
    EXPECT_EQ(losses_with(recipe + "_away", recipe,
                          {"run.steps=12", "offload.weights=nvme", "offload.moments=nvme",
                           "offload.activations=host", "offload.any_volume=true"}),
              plain)
        << recipe;
  }
}

// Delayed factors are state of the run: half of it and the rest give the bits of the whole.
TEST_F(Fp8Run, GoesOnFromACheckpoint) {
  for (const std::string recipe : {"block", "tensor-delayed"}) {
    const std::vector<double> whole = losses_with(recipe, recipe);
    std::filesystem::copy(out(recipe), out(recipe + "_again"), std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(out(recipe + "_again") / "checkpoints" / "step-00000100");
    EXPECT_EQ(losses_with(recipe + "_again", recipe), whole) << recipe;
  }
}

TEST_F(Fp8Run, CountsWhatQuantizingDoes) {
  const LoadedConfig loaded = with("counted", "block", {"run.steps=6", "precision.counters=true"});
  ASSERT_EQ(train(loaded), 0);
  const std::string metrics = bytes_of(out("counted") / "metrics.jsonl");
  EXPECT_THAT(metrics, testing::HasSubstr("\"layers.0.attention.qkv\""));
  EXPECT_THAT(metrics, testing::HasSubstr("\"snr_db\""));
}

}  // namespace
}  // namespace strata
