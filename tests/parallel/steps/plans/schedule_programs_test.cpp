// SPDX-License-Identifier: Apache-2.0
// Schedules as programs: simulated they take the time and keep the activations that their time line says, and
// executed by ranks that sleep for their work they idle as long as simulated.
#include <gtest/gtest.h>

#include "core/models/architectures.h"
#include "core/program/simulate.h"
#include "optim/optimizer_table.h"
#include "parallel/comm/plan_world.h"
#include "parallel/schedules/schedule_timeline.h"
#include "tests/parallel/steps/sleeping_ranks.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

std::vector<SleepCase> cases() {
  std::vector<SleepCase> all;
  for (const auto& [p, m] : {std::pair{2, 2}, {2, 5}, {4, 4}, {4, 8}, {8, 64}})
    for (const char* name : {"gpipe", "1f1b", "zb-h1", "zb-h2"}) all.push_back({name, p, m});
  for (const auto& [p, m, v] : {std::tuple{2, 4, 2}, {4, 8, 2}, {4, 4, 3}, {8, 64, 4}})
    all.push_back({"interleaved", p, m, v});
  return all;
}

TEST(SchedulePrograms, TakeTheTimeOfTheirTimeLine) {
  for (const SleepCase& c : cases()) {
    SCOPED_TRACE(testing::Message() << c);
    const StageCosts costs(c.splits_backward());
    const std::vector<LinkedProgram> linked = programs_of(c, costs);
    const double v = c.virtual_stages;
    const ScheduleTimeline line =
        schedule_timeline(c.make(), {v, v * (c.splits_backward() ? 1 : 2), c.splits_backward() ? v : 0, 0});
    const JobTimeline job = simulate_job(linked, costs);
    ASSERT_EQ(job.deadlock, "");
    EXPECT_DOUBLE_EQ(job.makespan, line.makespan);
    for (size_t rank = 0; rank < job.ranks.size(); ++rank)
      EXPECT_DOUBLE_EQ(job.ranks[rank].busy[static_cast<size_t>(Lane::compute)], line.ranks[rank].busy);
  }
}

// The vectors of the literature: m, p - r, p(1 + (p - 1)/(pv)) on rank 0, p, 2p - 1.
TEST(SchedulePrograms, KeepTheActivationsOfTheirTimeLine) {
  for (const SleepCase& c : cases()) {
    SCOPED_TRACE(testing::Message() << c);
    const std::vector<LinkedProgram> linked = programs_of(c, StageCosts(c.splits_backward()));
    const ScheduleTimeline line = schedule_timeline(c.make());
    for (size_t rank = 0; rank < linked.size(); ++rank) {
      const MemoryReport::TierUse& use = linked[rank].memory[Tier::device];
      EXPECT_EQ(static_cast<double>(use.by_class[static_cast<size_t>(ValueClass::saved_weight)]),
                line.ranks[rank].peak_activations * c.virtual_stages * StageCosts::kUnit)
          << "rank " << rank;
    }
  }
}

// Most bytes of a class that exist at once in the order of the list.
int64_t most_at_once(const LinkedProgram& linked, ValueClass cls) {
  std::vector<int64_t> change(linked.program.list.size() + 1);
  for (const PlannedBuffer& buffer : linked.buffers) {
    if (buffer.value.cls != cls || buffer.begin < 0) continue;
    change[static_cast<size_t>(buffer.begin)] += buffer.bytes;
    change[static_cast<size_t>(buffer.end)] -= buffer.bytes;
  }
  int64_t live = 0, most = 0;
  for (const int64_t bytes : change) most = std::max(most, live += bytes);
  return most;
}

// The same of a real model: what its layers keep for their weights' gradients, times the vector.
TEST(SchedulePrograms, KeepTheActivationsOfRealBlocks) {
  const StepRun run{.spec = small_llama()};
  const auto rule = make_update_rule("adamw", "fp32", DType::f32, {});
  for (const StepLayout& layout : {StepLayout{.mesh = {.pp = 4}, .schedule = "gpipe"},
                                   {.mesh = {.pp = 4}, .schedule = "1f1b"},
                                   {.mesh = {.pp = 2}, .schedule = "interleaved", .virtual_stages = 2},
                                   {.mesh = {.pp = 4}, .schedule = "zb-h1"},
                                   {.mesh = {.pp = 4}, .schedule = "zb-h2"}}) {
    const auto world = make_plan_world(0, layout.ranks());
    const RankPlace place(*world, place_options(run, layout), run.spec.tied);
    const Model model = make_model(run.spec, run.compute, place.split());
    const StepPlan plan(model, {.geometry = {.seq_len = run.seq_len, .micro_batches = run.samples},
                                .rule = rule.get(),
                                .rank = place.rank_options(model)});
    const ScheduleTimeline line = schedule_timeline(place.options().schedule);
    for (size_t rank = 0; rank < plan.train_job().size(); ++rank) {
      int64_t kept = 0;  // by all layers of the rank
      for (int16_t b = 1; b + 1 < model.num_blocks(); ++b)
        if (plan.train_job()[rank].program.blocks[static_cast<size_t>(b)].here)
          kept += plan.costs().bytes({.cls = ValueClass::saved_weight, .block = b});
      ASSERT_GT(kept, 0);
      EXPECT_EQ(static_cast<double>(most_at_once(plan.train_job()[rank], ValueClass::saved_weight)),
                line.ranks[rank].peak_activations * static_cast<double>(kept))
          << to_string(layout) << " rank " << rank;
    }
  }
}

}  // namespace
}  // namespace strata
