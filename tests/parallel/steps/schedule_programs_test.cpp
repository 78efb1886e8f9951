// SPDX-License-Identifier: Apache-2.0
// Schedules as programs: simulated they take the time and keep the activations that their time line says, and
// executed by ranks that sleep for their work they idle as long as simulated.
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/program/executor.h"
#include "core/program/simulate.h"
#include "core/program/verify.h"
#include "optim/optimizer_table.h"
#include "parallel/comm/plan_world.h"
#include "parallel/comm/thread_world.h"
#include "parallel/schedules/schedule_table.h"
#include "parallel/schedules/schedule_timeline.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

struct Case {
  const char* schedule;
  int ranks, micro_batches, virtual_stages = 1;

  Schedule make() const { return make_schedule(schedule, {ranks, virtual_stages, micro_batches}); }
  bool splits_backward() const { return find_schedule(schedule).splits_backward; }
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.schedule << " p " << c.ranks << " m " << c.micro_batches << " v " << c.virtual_stages;
}

// One layer per stage; forward 1, both backwards 1. Where a schedule has them in one cell, all of it is the
// input's: a stage's gradient leaves as the cell ends, which is what the time line counts. A forward keeps
// one unit.
class StageCosts : public CostModel {
 public:
  static constexpr int64_t kUnit = 4096, kMessage = 64;
  explicit StageCosts(bool splits_backward) : weight_(splits_backward ? 1 : 0) {}

  int64_t bytes(const Value& value) const override {
    if (value.cls == ValueClass::x || value.cls == ValueClass::dx) return kMessage;
    return value.cls == ValueClass::saved_weight ? kUnit : 0;
  }
  int64_t scratch_bytes(const Action&) const override { return 0; }
  double seconds(const Action& action) const override {
    if (action.block == 0) return 0;
    switch (action.kind) {
      case Kind::forward:
        return 1;
      case Kind::backward_input:
        return 2 - weight_;
      case Kind::backward_weight:
        return weight_;
      default:
        return 0;
    }
  }

 private:
  double weight_;
};

// Room enough that no lane waits for memory.
const LinkOptions kRoom{.lane_of = default_lane, .budget = {int64_t{1} << 30}};

std::vector<LinkedProgram> programs_of(const Case& c, const StageCosts& costs) {
  const Schedule schedule = c.make();
  std::vector<BlockInfo> blocks(static_cast<size_t>(schedule.num_stages()) + 2);
  blocks[0].saves_input = blocks[0].saves_weight = false;
  const Pipeline pipeline{
      .grids = schedule.ranks,
      .stages = even_stages(schedule.num_stages(), {c.ranks, c.virtual_stages, c.micro_batches}),
      .rank_of_stage = schedule.stage_rank};
  std::vector<LinkedProgram> linked;
  for (Program& program :
       make_pipeline(blocks, c.micro_batches, Goal::train, pipeline, {.ranks = c.ranks}, costs))
    linked.push_back(link(std::move(program), costs, kRoom));
  return linked;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& [p, m] : {std::pair{2, 2}, {2, 5}, {4, 4}, {4, 8}, {8, 64}})
    for (const char* name : {"gpipe", "1f1b", "zb-h1", "zb-h2"}) all.push_back({name, p, m});
  for (const auto& [p, m, v] : {std::tuple{2, 4, 2}, {4, 8, 2}, {4, 4, 3}, {8, 64, 4}})
    all.push_back({"interleaved", p, m, v});
  return all;
}

TEST(SchedulePrograms, TakeTheTimeOfTheirTimeLine) {
  for (const Case& c : cases()) {
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
  for (const Case& c : cases()) {
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

// ---- execution

struct Measured {
  double bubble = 0;  // of compute, mean over ranks
  double seconds = 0;
};

// Every rank is a thread with an executor; work is sleep, messages are real.
Measured execute(const std::vector<LinkedProgram>& linked, const StageCosts& costs, double unit_seconds) {
  struct RankTimes {
    int64_t begin = INT64_MAX, end = 0, busy = 0;
  };
  const int ranks = static_cast<int>(linked.size());
  std::vector<RankTimes> times(linked.size());
  run_ranks(ranks, [&](World& world) {
    const int rank = world.rank();
    const LinkedProgram& own = linked[static_cast<size_t>(rank)];
    WorkerPool pool(1);
    CpuStream communication(pool);
    std::map<int, std::unique_ptr<Communicator>> pairs;
    for (int a = 0; a < ranks; ++a)
      for (int b = a + 1; b < ranks; ++b)
        if (rank == a || rank == b) pairs[rank == a ? b : a] = world.group({"pipeline", {a, b}});
    std::vector<int> all(static_cast<size_t>(ranks));
    std::iota(all.begin(), all.end(), 0);
    const auto everyone = world.group({"all", all});
    const auto allocator = make_cpu_allocator();
    const BufferRef arena = allocator->allocate(own.memory[Tier::device].arena, "arena");

    Executor::Handlers handlers;
    handlers.fill([&](const Invocation& i) {
      const double seconds = costs.seconds(i.action()) * unit_seconds;
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    });
    const auto message = [&](const Invocation& i, bool sends) {
      const OperandBytes bytes = i.bytes_of(i.action().cls, i.action().block);
      Communicator& pair = *pairs.at(i.action().peer);
      const Message one{1 - pair.rank(), Tensor::borrow(bytes.data, DType::f32, {bytes.bytes / 4})};
      const std::span<const Message> it(&one, 1), none;
      pair.exchange(communication, sends ? it : none, sends ? none : it);
    };
    handlers[static_cast<size_t>(Kind::send)] = [&](const Invocation& i) { message(i, true); };
    handlers[static_cast<size_t>(Kind::receive)] = [&](const Invocation& i) { message(i, false); };
    handlers[static_cast<size_t>(Kind::total)] = [&](const Invocation&) { everyone->barrier(); };
    RankTimes& mine = times[static_cast<size_t>(rank)];
    Executor executor(own, handlers, {arena->data()}, {.trace = [&](const ActionEvent& event) {
                        if (event.lane != Lane::compute) return;
                        mine.begin = std::min(mine.begin, event.begin_ns);
                        mine.end = std::max(mine.end, event.end_ns);
                        const Action& action = own.program.list[static_cast<size_t>(event.position)];
                        if (costs.seconds(action) > 0) mine.busy += event.end_ns - event.begin_ns;
                      }});
    everyone->barrier();
    executor.run_step();
    executor.drain();
  });
  int64_t begin = INT64_MAX, end = 0;
  double busy = 0;
  for (const RankTimes& rank : times) {
    begin = std::min(begin, rank.begin);
    end = std::max(end, rank.end);
    busy += static_cast<double>(rank.busy);
  }
  return {1 - busy / static_cast<double>(end - begin) / ranks, static_cast<double>(end - begin) * 1e-9};
}

TEST(SchedulePrograms, ExecutedTheyIdleAsSimulated) {
  constexpr double kUnitSeconds = 0.025;
  for (const Case& c :
       {Case{"gpipe", 4, 8}, {"1f1b", 4, 8}, {"interleaved", 4, 8, 2}, {"zb-h1", 4, 8}, {"zb-h2", 4, 8}}) {
    const StageCosts costs(c.splits_backward());
    const std::vector<LinkedProgram> linked = programs_of(c, costs);
    require_verified(linked);
    const JobTimeline job = simulate_job(linked, costs);
    double simulated = 0;
    for (const Timeline& rank : job.ranks) simulated += rank.bubble(Lane::compute) / c.ranks;
    ASSERT_GT(simulated, 0);
    // Other programs of the machine only make it longer: the best of a few runs is the schedule's own.
    Measured best{.bubble = 1};
    for (int attempt = 0; attempt < 4 && std::abs(best.bubble / simulated - 1) > 0.05; ++attempt) {
      const Measured measured = execute(linked, costs, kUnitSeconds / c.virtual_stages);
      if (attempt == 0 || measured.seconds < best.seconds) best = measured;
    }
    std::cout << c << ": bubble " << best.bubble << ", simulated " << simulated << "; " << best.seconds
              << " s, simulated " << job.makespan * kUnitSeconds / c.virtual_stages << " s\n";
    EXPECT_NEAR(best.bubble, simulated, 0.05 * simulated) << c;
  }
}

}  // namespace
}  // namespace strata
