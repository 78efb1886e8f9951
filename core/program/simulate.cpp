// SPDX-License-Identifier: Apache-2.0
#include "core/program/simulate.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/device/buffer.h"
#include "core/program/job_walk.h"

namespace strata {

namespace {

// When which bytes of a tier begin and cease to exist.
struct Change {
  double at;
  int64_t bytes;
};

int64_t most_at_once(std::vector<Change> changes, int64_t base) {
  // At one instant the old goes before the new comes: the new one waited for it.
  std::sort(changes.begin(), changes.end(),
            [](const Change& a, const Change& b) { return a.at != b.at ? a.at < b.at : a.bytes < b.bytes; });
  int64_t live = base, peak = base;
  for (const Change& change : changes) peak = std::max(peak, live += change.bytes);
  return peak;
}

void measure_live(const LinkedProgram& linked, int steps, const std::vector<Timeline::Entry>& by_position,
                  Timeline& timeline) {
  std::array<std::vector<Change>, kNumTiers> changes;
  std::array<int64_t, kNumTiers> base{};
  for (const ScratchRegion& region : linked.scratch)
    base[static_cast<size_t>(region.tier)] += round_up(region.bytes, kTensorAlignment);
  struct Span {
    double begin = 0, end = 0;
  };
  for (const PlannedBuffer& buffer : linked.buffers)
    if (buffer.begin < 0)
      base[static_cast<size_t>(buffer.value.tier)] += round_up(buffer.bytes, kTensorAlignment);
  std::vector<Span> spans(linked.buffers.size());
  for (int step = 0; step < steps; ++step) {
    for (size_t position = 0; position < linked.actions.size(); ++position) {
      if (!linked.actions[position].runs) continue;
      const Timeline::Entry& entry =
          by_position[static_cast<size_t>(step) * linked.actions.size() + position];
      for (const Operand& operand : linked.operands_of(static_cast<int32_t>(position))) {
        Span& span = spans[static_cast<size_t>(operand.buffer)];
        if (operand.access == Access::create) span = {entry.begin, entry.end};
        span.end = std::max(span.end, entry.end);
      }
    }
    for (size_t i = 0; i < linked.buffers.size(); ++i) {
      const PlannedBuffer& buffer = linked.buffers[i];
      if (buffer.begin < 0) continue;
      const int64_t bytes = round_up(buffer.bytes, kTensorAlignment);
      changes[static_cast<size_t>(buffer.value.tier)].push_back({spans[i].begin, bytes});
      changes[static_cast<size_t>(buffer.value.tier)].push_back({spans[i].end, -bytes});
    }
  }
  for (size_t tier = 0; tier < kNumTiers; ++tier)
    timeline.live_peak[tier] = most_at_once(std::move(changes[tier]), base[tier]);
}

}  // namespace

JobTimeline simulate_job(std::span<const LinkedProgram> programs, const CostModel& costs, int steps) {
  check(steps >= 1, "[simulate] {} steps", steps);
  JobTimeline job;
  job.ranks.resize(programs.size());
  std::vector<std::vector<Timeline::Entry>> by_position(programs.size());  // per rank, step by step
  std::vector<std::array<double, kNumLanes>> lane_free(programs.size());
  std::vector<double> step_end(static_cast<size_t>(steps), 0);
  for (size_t rank = 0; rank < programs.size(); ++rank) {
    by_position[rank].resize(static_cast<size_t>(steps) * programs[rank].actions.size());
    job.ranks[rank].entries.reserve(by_position[rank].size());
  }
  const auto entry = [&](int rank, int step, int32_t position) -> Timeline::Entry& {
    const auto r = static_cast<size_t>(rank);
    return by_position[r][static_cast<size_t>(step) * programs[r].actions.size() +
                          static_cast<size_t>(position)];
  };
  // When the participant's lane and waits let it begin.
  const auto ready = [&](int step, const Participant& at) {
    const LinkedProgram& linked = programs[static_cast<size_t>(at.rank)];
    const LinkedAction& action = linked.actions[static_cast<size_t>(at.position)];
    double begin = lane_free[static_cast<size_t>(at.rank)][static_cast<size_t>(action.lane)];
    for (const Wait& wait : linked.waits_of(at.position)) {
      const int of_step = step - (wait.previous_step ? 1 : 0);
      if (of_step < 0) continue;
      const int32_t other = linked.lanes[static_cast<size_t>(wait.lane)][static_cast<size_t>(wait.sequence)];
      begin = std::max(begin, entry(at.rank, of_step, other).end);
    }
    return begin;
  };
  job.deadlock = walk_job(programs, steps, [&](int step, std::span<const Participant> participants) {
    double begin = 0, seconds = 0;
    for (const Participant& at : participants) {
      begin = std::max(begin, ready(step, at));
      const Program& program = programs[static_cast<size_t>(at.rank)].program;
      seconds = std::max(seconds, costs.seconds(program.list[static_cast<size_t>(at.position)]));
    }
    for (const Participant& at : participants) {
      const auto rank = static_cast<size_t>(at.rank);
      const Lane lane = programs[rank].actions[static_cast<size_t>(at.position)].lane;
      lane_free[rank][static_cast<size_t>(lane)] = begin + seconds;
      const Timeline::Entry run{at.position, step, lane, begin, begin + seconds};
      entry(at.rank, step, at.position) = run;
      job.ranks[rank].entries.push_back(run);
      job.ranks[rank].busy[static_cast<size_t>(lane)] += seconds;
    }
    job.makespan = std::max(job.makespan, begin + seconds);
    double& end = step_end[static_cast<size_t>(step)];
    end = std::max(end, begin + seconds);
  });
  if (job.deadlock.empty())
    job.step_seconds = step_end.back() - (steps > 1 ? step_end[static_cast<size_t>(steps) - 2] : 0);
  for (size_t rank = 0; rank < programs.size(); ++rank) {
    Timeline& timeline = job.ranks[rank];
    timeline.makespan = job.makespan;
    timeline.step_seconds = job.step_seconds;
    timeline.deadlock = job.deadlock;
    if (!job.deadlock.empty()) continue;
    std::stable_sort(timeline.entries.begin(), timeline.entries.end(),
                     [](const Timeline::Entry& a, const Timeline::Entry& b) { return a.begin < b.begin; });
    measure_live(programs[rank], steps, by_position[rank], timeline);
  }
  return job;
}

Timeline simulate(const LinkedProgram& linked, const CostModel& costs, int steps) {
  return std::move(simulate_job(std::span(&linked, 1), costs, steps).ranks[0]);
}

}  // namespace strata
