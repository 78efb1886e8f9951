// SPDX-License-Identifier: Apache-2.0
// Ranks plan apart from each other and must come to the same programs, however far their links reach.
#include <gtest/gtest.h>

#include "core/models/architectures.h"
#include "optim/optimizer_table.h"
#include "parallel/comm/plan_world.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

std::vector<Program> programs_of(const StepRun& run, const StepLayout& layout, int rank) {
  const auto world = make_plan_world(rank, layout.ranks());
  const RankPlace place(*world, place_options(run, layout), run.spec.tied);
  const Model model = make_model(run.spec, run.compute, place.split());
  const auto rule = make_update_rule("adamw", "fp32", run.compute, {});
  const StepPlan plan(model, {.geometry = {.rows = run.rows,
                                           .seq_len = place.local_seq_len(run.seq_len),
                                           .micro_batches = place.options().micro_batches},
                              .rule = rule.get(),
                              .rank = place.rank_options(model)});
  std::vector<Program> programs;
  for (const auto job : {plan.train_job(), plan.evaluate_job()})
    for (const LinkedProgram& linked : job) programs.push_back(linked.program);
  return programs;
}

TEST(Agreement, AllRanksMakeTheSamePrograms) {
  // Wide enough for messages to take as long as work; sizes that leave remainders.
  StepRun run{.spec = small_llama(true), .seq_len = 16};
  run.spec.hidden = 40;
  run.spec.head_dim = 10;
  run.spec.heads = run.spec.kv_heads = 4;
  for (const StepLayout& layout :
       {StepLayout{.mesh = {.pp = 4, .dp = 2}, .partition = {2, 2, 2}, .topology = {.pair = 2, .node = 4}},
        {.mesh = {.pp = 4, .dp = 2}, .schedule = "zb-h1", .topology = {.node = 2}},
        {.mesh = {.pp = 4, .dp = 3, .tp = 2}, .sequence = true, .topology = {.pair = 2, .node = 8}},
        {.mesh = {.pp = 2, .dp = 2, .tp = 4},
        .sequence = true,
        .schedule = "interleaved",
        .virtual_stages = 2,
        .topology = {.pair = 1, .node = 8}}}) {
    StepRun divided = run;
    divided.samples = layout.mesh.dp * 8;
    const std::vector<Program> first = programs_of(divided, layout, 0);
    for (int rank = 1; rank < layout.ranks(); ++rank)
      EXPECT_TRUE(programs_of(divided, layout, rank) == first) << to_string(layout) << " rank " << rank;
  }
}

}  // namespace
}  // namespace strata
