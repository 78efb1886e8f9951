// SPDX-License-Identifier: Apache-2.0
#include "parallel/schedules/schedule_timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "parallel/schedules/cell_index.h"

namespace strata {

namespace {

double duration(CellKind kind, const StageTimes& times) {
  switch (kind) {
    case CellKind::forward:
      return times.forward;
    case CellKind::backward:
      return times.backward_input + times.backward_weight;
    case CellKind::backward_input:
      return times.backward_input;
    case CellKind::backward_weight:
      return times.backward_weight;
  }
  fail_contract("[duration] not a kind of cell");
}

int peak_live(const Grid& grid) {
  int live = 0, peak = 0;
  for (const Cell& cell : grid) {
    if (cell.kind == CellKind::forward) peak = std::max(peak, ++live);
    if (cell.kind == CellKind::backward || cell.kind == CellKind::backward_weight) --live;
  }
  return peak;
}

const ScheduleTimeline::Rank& busiest(const ScheduleTimeline& timeline) {
  return *std::ranges::max_element(timeline.ranks, {}, &ScheduleTimeline::Rank::busy);
}

}  // namespace

double ScheduleTimeline::bubble_over_ideal() const {
  const double ideal = busiest(*this).busy;
  return (makespan - ideal) / ideal;
}

double ScheduleTimeline::bubble_of_total() const { return (makespan - busiest(*this).busy) / makespan; }

ScheduleTimeline schedule_timeline(const Schedule& schedule, const StageTimes& times) {
  const CellIndex index(schedule);
  const double share = schedule.stage_share();
  ScheduleTimeline timeline;
  timeline.ranks.resize(schedule.ranks.size());
  for (const Grid& grid : schedule.ranks) timeline.cells.emplace_back(grid.size());

  const std::vector<int> reached = walk_cells(schedule, index, [&](Place here) {
    const auto rank = static_cast<size_t>(here.rank), position = static_cast<size_t>(here.position);
    const Cell& cell = schedule.ranks[rank][position];
    auto& spans = timeline.cells[rank];
    double begin = position == 0 ? 0 : spans[position - 1].end;
    if (const Place from = index.awaited(cell))
      begin = std::max(
          begin, timeline.cells[static_cast<size_t>(from.rank)][static_cast<size_t>(from.position)].end +
                     (from.rank == here.rank ? 0 : times.transfer));
    const double length = duration(cell.kind, times) * share;
    spans[position] = {begin, begin + length};
    timeline.ranks[rank].busy += length;
  });

  for (size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    const Grid& grid = schedule.ranks[rank];
    check(reached[rank] == static_cast<int>(grid.size()) && !grid.empty(),
          "[schedule_timeline] rank {} waits for ever at its cell {} of {}", rank, reached[rank],
          grid.size());
    auto& figures = timeline.ranks[rank];
    figures.begin = timeline.cells[rank].front().begin;
    figures.end = timeline.cells[rank].back().end;
    figures.peak_activations = peak_live(grid) * share;
    timeline.makespan = std::max(timeline.makespan, figures.end);
  }
  return timeline;
}

std::string picture(const Schedule& schedule, int columns) {
  // Unit costs times the stages per rank make every cell one or two whole columns.
  const double unit = 1 / schedule.stage_share();
  const ScheduleTimeline timeline = schedule_timeline(
      schedule, {.forward = unit, .backward_input = unit, .backward_weight = unit, .transfer = 0});
  const int total = static_cast<int>(std::lround(timeline.makespan)), shown = std::min(total, columns);

  const bool one_each = schedule.num_stages() == schedule.num_ranks();
  const auto label = [&](const Cell& cell) {
    const std::string text = to_string(Grid{cell});
    return one_each ? fmt::format("{}{}", text.front(), cell.micro_batch) : text;
  };
  size_t width = 1;
  for (const Grid& grid : schedule.ranks)
    for (const Cell& cell : grid) width = std::max(width, label(cell).size());

  std::string text;
  for (size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    std::vector<std::string> line(static_cast<size_t>(total), ".");
    for (size_t i = 0; i < schedule.ranks[rank].size(); ++i) {
      const auto& span = timeline.cells[rank][i];
      const auto begin = static_cast<size_t>(std::lround(span.begin)),
                 end = static_cast<size_t>(std::lround(span.end));
      std::fill(line.begin() + static_cast<ptrdiff_t>(begin), line.begin() + static_cast<ptrdiff_t>(end),
                std::string("="));
      line[begin] = label(schedule.ranks[rank][i]);
    }
    text += fmt::format("rank {:<3}", rank);
    for (int column = 0; column < shown; ++column)
      text += fmt::format(" {:<{}}", line[static_cast<size_t>(column)], width);
    text +=
        fmt::format("{}  keeps {:g}\n", shown < total ? " ..." : "", timeline.ranks[rank].peak_activations);
  }
  return text;
}

}  // namespace strata
