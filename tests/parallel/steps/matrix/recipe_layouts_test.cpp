// SPDX-License-Identifier: Apache-2.0
// The table of recipes and layouts in precision/layouts.md. Every cell is run here, against one rank, and the
// page is what came of it. STRATA_WRITE_TABLES=1 writes the page.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

#include "precision/recipe.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

struct RecipeRow {
  const char* name;
  StepLayout layout;
};

// In ordered mode where there is one: everything but tp and cp.
std::vector<RecipeRow> rows() {
  return {
      {"recompute", {.tree = true, .recompute = true}},
      {"state and inputs on host",
       {.tree = true,
        .tiers = {.weights = on_host,
                  .master = on_host,
                  .moments = on_host,
                  .activations = on_host,
                  .prefetch = 1}}},
      {"all on nvme",
       {.tree = true,
        .tiers = {.weights = on_nvme,
                  .gradients = on_nvme,
                  .master = on_nvme,
                  .moments = on_nvme,
                  .activations = on_nvme,
                  .prefetch = 2}}},
      {"dp 8", {.mesh = {.dp = 8}, .tree = true}},
      {"dp 4, zero1", {.mesh = {.dp = 4}, .partition = {1, 1, 4}, .tree = true}},
      {"dp 4, zero2", {.mesh = {.dp = 4}, .partition = {1, 4, 4}, .tree = true}},
      {"dp 4, zero3", {.mesh = {.dp = 4}, .partition = {4, 4, 4}, .tree = true}},
      {"dp 8, 2/2/4, recompute",
       {.mesh = {.dp = 8}, .partition = {2, 2, 4}, .tree = true, .recompute = true}},
      {"dp 2, zero3, weights and state on nvme",
       {.mesh = {.dp = 2},
        .partition = {2, 2, 2},
        .tree = true,
        .tiers = {.weights = on_nvme, .master = on_nvme, .moments = on_nvme, .prefetch = 1}}},
      {"pp 4, 1f1b", {.mesh = {.pp = 4}, .schedule = "1f1b", .tree = true}},
      {"pp 2, zb-h1", {.mesh = {.pp = 2}, .schedule = "zb-h1", .tree = true}},
      {"pp 2, 2 stages a rank",
       {.mesh = {.pp = 2}, .schedule = "interleaved", .virtual_stages = 2, .tree = true}},
      {"pp 2, dp 2, zero3", {.mesh = {.pp = 2, .dp = 2}, .partition = {2, 2, 2}, .tree = true}},
      {"tp 2", {.mesh = {.tp = 2}}},
      {"tp 4, sequence parallel", {.mesh = {.tp = 4}, .sequence = true}},
      {"cp 2", {.mesh = {.cp = 2}}},
      {"pp 2, dp 2, tp 2, sequence parallel, zero3",
       {.mesh = {.pp = 2, .dp = 2, .tp = 2}, .sequence = true, .partition = {2, 2, 2}}},
      {"dp 2, cp 2, tp 2, zero1", {.mesh = {.dp = 2, .cp = 2, .tp = 2}, .partition = {1, 1, 4}}},
  };
}

struct Recipe {
  std::string name;
  StepRun run;
  StepOutcome ascending, tree;  // of one rank
};

std::string cell(const Recipe& recipe, const RecipeRow& row, const StepOutcome& plain) {
  StepOutcome many = run_steps(recipe.run, row.layout);
  const StepOutcome& one = row.layout.tree ? recipe.tree : recipe.ascending;
  // What is away cannot be looked at in the middle of a step.
  if (row.layout.tiers.gradients.tier != Tier::device) many.gradients = one.gradients;
  if (different_bits(many, one).empty()) return "same bits";
  const Distances far = distances(many, one), noise = distances(one, plain);
  double loss = 0;
  for (size_t step = 0; step < one.losses.size(); ++step)
    loss = std::max(loss, std::abs(many.losses[step] / one.losses[step] - 1));
  std::cout << fmt::format("{}, {}: losses {:.1e}, gradients {:.2e}, 8 bits against bf16 {:.2e}\n",
                           recipe.name, row.name, loss, far.gradients, noise.gradients);
  const std::string broken = beyond_noise(many, one, plain);
  EXPECT_EQ(broken, "") << recipe.name << ", " << row.name;
  return broken.empty() ? "within noise" : "BEYOND NOISE";
}

std::string recipe_table() {
  std::string text =
      "<!-- Made by tests/parallel/steps/matrix/recipe_layouts_test.cpp, which runs every cell. -->\n# "
      "Recipes "
      "and layouts\n\nEach cell is a small model trained for three steps under a layout and on one "
      "rank:\n*same bits* in losses, norms, gradients and parameters (ordered mode), or *within noise*: the "
      "first "
      "gradients are at\nmost 1.5 times as far from one rank's as these are from bf16, worst tensor, and "
      "every loss "
      "is within 2e-3 of itself.\nA share that tp, sequence parallelism or cp cuts out of a layer or a "
      "sequence has "
      "factors of its own, so that its codes\nare other draws of the same rounding noise; two draws are "
      "sqrt(2) of "
      "it apart.\n\n| layout |";
  std::string line = "\n| --- |";
  std::vector<Recipe> recipes;
  for (const QuantizationRecipe& known : quantization_recipes()) {
    Recipe recipe{.name = std::string(known.name), .run = eight_bit_run(std::string(known.name))};
    recipe.ascending = run_steps(recipe.run, {});
    recipe.tree = run_steps(recipe.run, {.tree = true});
    text += fmt::format(" {} |", recipe.name), line += " --- |";
    recipes.push_back(std::move(recipe));
  }
  text += line + "\n";
  StepRun run = eight_bit_run("");
  const StepOutcome plain = run_steps(run, {});
  for (const RecipeRow& row : rows()) {
    text += fmt::format("| {} |", row.name);
    for (const Recipe& recipe : recipes) {
      const std::string verdict = cell(recipe, row, plain);
      EXPECT_TRUE(!row.layout.tree || verdict == "same bits") << recipe.name << ", " << row.name;
      text += fmt::format(" {} |", verdict);
    }
    text += "\n";
  }
  return text;
}

TEST(RecipeLayouts, ThePageIsWhatComesOfThem) {
  const std::string path = std::string(STRATA_SOURCE_DIR) + "/precision/layouts.md", made = recipe_table();
  if (std::getenv("STRATA_WRITE_TABLES")) std::ofstream(path, std::ios::binary) << made;
  std::ifstream file(path, std::ios::binary);
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(page == made)
      << "precision/layouts.md is not what the layouts do: STRATA_WRITE_TABLES=1 writes it";
}

}  // namespace
}  // namespace strata
