// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/program/words.h"
#include "parallel/schedules/check_schedule.h"
#include "parallel/schedules/schedule.h"

namespace strata {

namespace {

constexpr std::string_view kKinds = "FBIW";

// "F0.3", or nothing.
std::optional<Cell> parse_cell(std::string_view word) {
  if (word.empty()) return std::nullopt;
  const size_t kind = kKinds.find(word.front()), dot = word.find('.');
  if (kind == std::string_view::npos || dot == std::string_view::npos) return std::nullopt;
  const auto stage = words::number<int16_t>(word.substr(1, dot - 1));
  const auto micro_batch = words::number<int16_t>(word.substr(dot + 1));
  if (!stage || !micro_batch || *stage < 0 || *micro_batch < 0) return std::nullopt;
  return Cell{static_cast<CellKind>(kind), *stage, *micro_batch};
}

}  // namespace

std::string to_text(const Schedule& schedule) {
  std::string text;
  for (const Grid& grid : schedule.ranks) text += to_string(grid) + "\n";
  return text;
}

Schedule parse_schedule(std::string_view text, std::string_view file) {
  Schedule schedule;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    Grid grid;
    for (const std::string_view word : words::split(line.substr(0, line.find('#')))) {
      const std::optional<Cell> cell = parse_cell(word);
      if (!cell)
        throw Error(Fault::usage, {.what = "this is not a cell of a pipeline schedule",
                                   .where = fmt::format("{}:{}", file, line_number),
                                   .found = fmt::format("\"{}\"", word),
                                   .expected = "F, B, I or W, then stage.micro-batch, as in F0.3"});
      grid.push_back(*cell);
      schedule.micro_batches = std::max(schedule.micro_batches, cell->micro_batch + 1);
      if (cell->stage >= schedule.num_stages())
        schedule.stage_rank.resize(static_cast<size_t>(cell->stage) + 1, -1);
      int& rank = schedule.stage_rank[static_cast<size_t>(cell->stage)];
      if (rank < 0) rank = schedule.num_ranks();
    }
    if (!grid.empty()) schedule.ranks.push_back(std::move(grid));
  }
  if (schedule.ranks.empty())
    throw Error(Fault::usage, {.what = "this pipeline schedule has no cells",
                               .where = std::string(file),
                               .expected = "a line per rank, such as F0.0 F0.1 B0.0 B0.1"});
  return schedule;
}

Schedule schedule_from_text(std::string_view text, std::string_view file, const ScheduleShape& shape) {
  Schedule schedule = parse_schedule(text, file);
  const auto sizes = [](int ranks, int stages, int micro_batches) {
    return fmt::format("{} ranks, {} stages, {} micro-batches", ranks, stages, micro_batches);
  };
  const std::string found = sizes(schedule.num_ranks(), schedule.num_stages(), schedule.micro_batches);
  const std::string expected = sizes(shape.ranks, shape.stages(), shape.micro_batches);
  if (found != expected)
    throw Error(Fault::usage,
                {.what = "the pipeline schedule is not for this run",
                 .where = std::string(file),
                 .found = found,
                 .expected = expected + ", from parallel.pp, parallel.virtual_stages and [batch]"});
  require_possible(schedule, file);
  return schedule;
}

}  // namespace strata
