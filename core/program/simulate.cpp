// SPDX-License-Identifier: Apache-2.0
#include "core/program/simulate.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/device/buffer.h"
#include "core/program/lane_walk.h"

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

Timeline simulate(const LinkedProgram& linked, const CostModel& costs, int steps) {
  check(steps >= 1, "[simulate] {} steps", steps);
  Timeline timeline;
  const size_t length = linked.actions.size();
  std::vector<Timeline::Entry> by_position(static_cast<size_t>(steps) * length);
  std::array<double, kNumLanes> lane_free{};
  std::vector<double> step_end(static_cast<size_t>(steps), 0);
  timeline.deadlock = walk_lanes(linked, steps, [&](int step, int32_t position) {
    const LinkedAction& action = linked.actions[static_cast<size_t>(position)];
    double& free_at = lane_free[static_cast<size_t>(action.lane)];
    double begin = free_at;
    for (const Wait& wait : linked.waits_of(position)) {
      const int of_step = step - (wait.previous_step ? 1 : 0);
      if (of_step < 0) continue;
      const int32_t other = linked.lanes[static_cast<size_t>(wait.lane)][static_cast<size_t>(wait.sequence)];
      begin = std::max(begin,
                       by_position[static_cast<size_t>(of_step) * length + static_cast<size_t>(other)].end);
    }
    const double seconds = costs.seconds(linked.program.list[static_cast<size_t>(position)]);
    free_at = begin + seconds;
    const Timeline::Entry entry{position, step, action.lane, begin, free_at};
    by_position[static_cast<size_t>(step) * length + static_cast<size_t>(position)] = entry;
    timeline.entries.push_back(entry);
    timeline.busy[static_cast<size_t>(action.lane)] += seconds;
    timeline.makespan = std::max(timeline.makespan, free_at);
    double& end = step_end[static_cast<size_t>(step)];
    end = std::max(end, free_at);
  });
  if (!timeline.deadlock.empty()) return timeline;
  std::stable_sort(timeline.entries.begin(), timeline.entries.end(),
                   [](const Timeline::Entry& a, const Timeline::Entry& b) { return a.begin < b.begin; });
  timeline.step_seconds = step_end.back() - (steps > 1 ? step_end[static_cast<size_t>(steps) - 2] : 0);
  measure_live(linked, steps, by_position, timeline);
  return timeline;
}

}  // namespace strata
