// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/steps/sleeping_ranks.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <optional>
#include <thread>

#include "core/device/cpu/cpu_stream.h"
#include "core/program/executor.h"
#include "core/program/passes.h"
#include "core/program/simulate.h"
#include "core/program/verify.h"
#include "parallel/comm/thread_world.h"

namespace strata {

std::ostream& operator<<(std::ostream& out, const SleepCase& c) {
  return out << c.schedule << " p " << c.ranks << " m " << c.micro_batches << " v " << c.virtual_stages;
}

std::vector<LinkedProgram> programs_of(const SleepCase& c, const StageCosts& costs) {
  const Schedule schedule = c.make();
  std::vector<BlockInfo> blocks(static_cast<size_t>(schedule.num_stages()) + 2);
  blocks[0].saves_input = blocks[0].saves_weight = false;
  const Pipeline pipeline{
      .grids = schedule.ranks,
      .stages = even_stages(schedule.num_stages(), {c.ranks, c.virtual_stages, c.micro_batches}),
      .rank_of_stage = schedule.stage_rank};
  const LinkOptions room{.budget = {int64_t{1} << 30}};
  std::vector<LinkedProgram> linked;
  for (Program& program :
       make_pipeline(blocks, c.micro_batches, Goal::train, pipeline, {.ranks = c.ranks}, costs))
    linked.push_back(link(std::move(program), costs, room));
  return linked;
}

namespace {

// How many threads of the whole machine wanted a core while this existed, beside the one that counts: what
// sleeps is woken late when there are as many as cores.
class RunnableThreads {
 public:
  RunnableThreads() : thread_([this](const std::stop_token& stop) { count(stop); }) {}
  double mean() {
    thread_.request_stop();
    thread_.join();
    return samples_ == 0 ? 0 : sum_ / samples_;
  }

 private:
  void count(const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::milliseconds(10))) {
      std::ifstream file("/proc/loadavg");
      double loads[3], runnable = 0;
      if (!(file >> loads[0] >> loads[1] >> loads[2] >> runnable)) continue;
      sum_ += runnable - 1;
      ++samples_;
    }
  }

  double sum_ = 0;
  int samples_ = 0;
  std::jthread thread_;
};

// Others may use half of the cores.
bool undisturbed(double runnable) { return runnable < std::thread::hardware_concurrency() / 2.0; }

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

}  // namespace

bool idles_as_simulated(const SleepCase& c, double unit_seconds) {
  const StageCosts costs(c.splits_backward());
  const std::vector<LinkedProgram> linked = programs_of(c, costs);
  require_verified(linked);
  const JobTimeline job = simulate_job(linked, costs);
  double simulated = 0;
  for (const Timeline& rank : job.ranks) simulated += rank.bubble(Lane::compute) / c.ranks;
  EXPECT_GT(simulated, 0);
  const double cell_seconds = unit_seconds / c.virtual_stages;
  std::optional<Measured> best;
  for (int attempt = 0; attempt < 8; ++attempt) {
    RunnableThreads others;
    const Measured measured = execute(linked, costs, cell_seconds);
    if (undisturbed(others.mean()) && (!best || measured.seconds < best->seconds)) best = measured;
    if (best && std::abs(best->bubble / simulated - 1) < 0.05) break;
  }
  if (!best) return false;
  std::cout << c << ": bubble " << best->bubble << ", simulated " << simulated << "; " << best->seconds
            << " s, simulated " << job.makespan * cell_seconds << " s\n";
  EXPECT_NEAR(best->bubble, simulated, 0.05 * simulated) << c;
  return true;
}

}  // namespace strata
