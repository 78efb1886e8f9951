// SPDX-License-Identifier: Apache-2.0
// A plan for 1,024 ranks is a matter of seconds: programs of all pipeline ranks, linked, proved and timed.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>

#include "core/models/architectures.h"
#include "core/program/simulate.h"
#include "optim/optimizer_table.h"
#include "parallel/comm/plan_world.h"
#include "parallel/rank_place.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {
namespace {

// Llama 3 70B on 128 nodes of eight.
ModelSpec large_llama() {
  return {.arch = "llama",
          .layers = 80,
          .hidden = 8192,
          .heads = 64,
          .kv_heads = 8,
          .head_dim = 128,
          .ffn = 28672,
          .vocab = 128256,
          .max_positions = 8192};
}

class Clock {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

TEST(Scale, ThousandRanksArePlannedInSeconds) {
  const MeshSizes mesh{.pp = 16, .dp = 8, .tp = 8};
  constexpr int kRanks = 1024, kMicroBatches = 16;
  const auto rule = make_update_rule("adamw", "fp32", DType::bf16, {});
  for (const char* schedule : {"1f1b", "zb-h1"})
    for (const PartitionWays ways : {PartitionWays{1, 1, 8}, {8, 8, 8}, {2, 4, 8}}) {
      Clock clock;
      const PlaceOptions options{.mesh = mesh,
                                 .topology = {.pair = 2, .node = 8},
                                 .sequence = true,
                                 .partition = ways,
                                 .schedule = make_schedule(schedule, {mesh.pp, 1, kMicroBatches}),
                                 .micro_batches = kMicroBatches};
      // One rank of each place in the pipeline stands for the 64 that share it.
      for (int stage = 0; stage < mesh.pp; ++stage) {
        const auto world = make_plan_world(stage * kRanks / mesh.pp, kRanks);
        EXPECT_EQ(RankPlace(*world, options, false).split().parts, mesh.tp);
      }
      const double places = clock.lap();
      const auto world = make_plan_world(0, kRanks);
      const RankPlace place(*world, options, false);
      const Model model = make_model(large_llama(), DType::bf16, place.split());
      const StepPlan plan(model, {.geometry = {.rows = 1, .seq_len = 8192, .micro_batches = kMicroBatches},
                                  .rule = rule.get(),
                                  .rank = place.rank_options(model)});
      const double planned = clock.lap();
      const JobTimeline job = simulate_job(plan.train_job(), plan.costs(), 2);
      const double simulated = clock.lap();
      size_t most = 0, with_frees = 0;
      for (const LinkedProgram& linked : plan.train_job()) {
        with_frees = std::max(with_frees, linked.program.list.size());
        most = std::max(
            most, static_cast<size_t>(std::count_if(linked.actions.begin(), linked.actions.end(),
                                                    [](const LinkedAction& action) { return action.runs; })));
      }
      std::cout << fmt::format(
          "{} partition {}/{}/{}: at most {} actions a rank ({} with frees), places {:.2f} s, build and "
          "verify "
          "{:.2f} s, simulate {:.2f} s\n",
          schedule, ways.weights, ways.gradients, ways.state, most, with_frees, places, planned, simulated);
      EXPECT_EQ(job.deadlock, "");
      EXPECT_GT(job.step_seconds, 0);
      EXPECT_EQ(plan.train_job().size(), 16u);
      EXPECT_LT(places + planned + simulated, 20);
    }
}

// A place costs no more than its groups have members: sixteen times the ranks, sixteen times the time.
TEST(Scale, PlacesOfManyRanksCostLittle) {
  Clock clock;
  for (const int rank : {0, 4095, 16383}) {
    const auto world = make_plan_world(rank, 16384);
    const RankPlace place(*world,
                          {.mesh = {.pp = 16, .dp = 128, .tp = 8},
                           .partition = {8, 8, 128},
                           .schedule = make_schedule("1f1b", {16, 1, 16}),
                           .micro_batches = 16},
                          true);
  }
  EXPECT_LT(clock.lap(), 1);
}

}  // namespace
}  // namespace strata
