// SPDX-License-Identifier: Apache-2.0
// Every layout trains as one rank does: first-step loss and gradients, and the change of the parameters after
// three steps, within the bounds of the design (1e-6, 1e-5 and 1e-4 relative).
#include <gtest/gtest.h>

#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

std::vector<StepLayout> some_layouts() {
  std::vector<StepLayout> layouts;
  const auto add = [&](StepLayout layout) { layouts.push_back(std::move(layout)); };
  // Data ranks and every kind of partition.
  add({.mesh = {.dp = 2}});
  add({.mesh = {.dp = 4}, .partition = {1, 1, 4}});
  add({.mesh = {.dp = 4}, .partition = {1, 4, 4}});
  add({.mesh = {.dp = 4}, .partition = {4, 4, 4}, .gather_ahead = 2});
  add({.mesh = {.dp = 8}, .partition = {2, 4, 8}});
  add({.mesh = {.dp = 8}, .partition = {2, 2, 4}, .recompute = true});  // replicas
  add({.mesh = {.dp = 4}, .partition = {2, 4, 4}, .gather_ahead = 0});
  // Pipelines.
  for (const char* schedule : {"gpipe", "1f1b", "zb-h1", "zb-h2"})
    add({.mesh = {.pp = 4}, .schedule = schedule});
  add({.mesh = {.pp = 2}, .schedule = "interleaved", .virtual_stages = 2});
  add({.mesh = {.pp = 2}, .schedule = "1f1b", .recompute = true});
  // Tensor, sequence and context.
  add({.mesh = {.tp = 2}});
  add({.mesh = {.tp = 4}, .sequence = true});
  add({.mesh = {.cp = 2}, .partition = {2, 2, 2}});
  // Products.
  add({.mesh = {.pp = 2, .dp = 2, .tp = 2}});
  add({.mesh = {.pp = 2, .dp = 2, .tp = 2}, .sequence = true, .schedule = "zb-h1", .partition = {2, 2, 2}});
  add({.mesh = {.pp = 2, .dp = 2, .cp = 2}, .schedule = "1f1b", .partition = {1, 2, 4}});
  add({.mesh = {.dp = 2, .cp = 2, .tp = 2}, .sequence = true, .partition = {4, 4, 4}});
  return layouts;
}

TEST(LayoutSteps, TrainAsOneRankDoes) {
  for (const ModelSpec& spec : {small_llama(), small_gpt2()}) {
    const StepRun run{.spec = spec, .evaluate = true};
    const StepOutcome one = run_steps(run, {});
    for (const StepLayout& layout : some_layouts())
      EXPECT_EQ(differences(run_steps(run, layout), one, rounds_apart(layout)), "") << to_string(layout);
  }
}

// Ordered mode: the same bits, whatever the data ranks, the partition and the pipeline.
TEST(OrderedSteps, SameBitsEverywhere) {
  for (const ModelSpec& spec : {small_llama(), small_gpt2()}) {
    const StepRun run{.spec = spec, .steps = 4, .evaluate = true};
    const StepOutcome one = run_steps(run, {.tree = true});
    std::vector<StepLayout> layouts = {
        {.mesh = {.dp = 2}},
        {.mesh = {.dp = 4}, .partition = {1, 1, 4}},
        {.mesh = {.dp = 8}, .partition = {1, 8, 8}},
        {.mesh = {.dp = 4}, .partition = {4, 4, 4}},
        {.mesh = {.dp = 8}, .partition = {2, 4, 8}},
        {.mesh = {.dp = 8}, .partition = {2, 2, 4}},
        {.mesh = {.pp = 4}, .schedule = "gpipe"},
        {.mesh = {.pp = 4}, .schedule = "1f1b"},
        {.mesh = {.pp = 2}, .schedule = "interleaved", .virtual_stages = 2},
        {.mesh = {.pp = 4}, .schedule = "zb-h1"},
        {.mesh = {.pp = 2}, .schedule = "zb-h2"},
        {.mesh = {.pp = 2, .dp = 4}, .schedule = "1f1b", .partition = {2, 4, 4}, .recompute = true},
    };
    for (StepLayout& layout : layouts) {
      layout.tree = true;
      EXPECT_EQ(different_bits(run_steps(run, layout), one), "") << to_string(layout);
    }
  }
}

// Any layout against itself: two threads, random sleeps on every lane.
TEST(LayoutSteps, TimingChangesNoBit) {
  const StepRun run{.spec = small_llama(true), .compute = DType::bf16, .state = "split"};
  for (StepLayout layout :
       {StepLayout{.mesh = {.dp = 4}, .partition = {4, 4, 4}},
        StepLayout{.mesh = {.pp = 2, .dp = 2}, .schedule = "zb-h1", .partition = {1, 2, 2}},
        StepLayout{.mesh = {.dp = 2, .tp = 2}, .sequence = true, .partition = {1, 1, 2}}}) {
    const StepOutcome first = run_steps(run, layout);
    layout.threads = 2;
    layout.max_delay_us = 200;
    const StepOutcome second = run_steps(run, layout);
    EXPECT_EQ(different_bits(second, first), "") << to_string(layout);
  }
}

}  // namespace
}  // namespace strata
