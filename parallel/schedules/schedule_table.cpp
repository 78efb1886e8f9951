// SPDX-License-Identifier: Apache-2.0
#include "parallel/schedules/schedule_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/suggest.h"

namespace strata {

Grid gpipe(const ScheduleShape& shape, int rank);
Grid one_f_one_b(const ScheduleShape& shape, int rank);
Grid interleaved(const ScheduleShape& shape, int rank);
Grid zb_h1(const ScheduleShape& shape, int rank);
Grid zb_h2(const ScheduleShape& shape, int rank);

namespace {

constexpr ScheduleRow kTable[] = {
    {.name = "1f1b",
     .doc = "a forward and a backward in turn; rank r keeps p-r micro-batches",
     .make = one_f_one_b},
    {.name = "gpipe",
     .doc = "all forwards, then all backwards; every rank keeps all micro-batches",
     .make = gpipe},
    {.name = "interleaved",
     .doc = "1f1b over several stages per rank: a v-th of the bubble, v times the messages",
     .interleaved = true,
     .whole_rounds = true,
     .make = interleaved},
    {.name = "zb-h1",
     .doc = "split backward, about a third of 1f1b's bubble; every rank keeps p micro-batches",
     .splits_backward = true,
     .make = zb_h1},
    {.name = "zb-h2",
     .doc = "split backward, no bubble in the steady state; every rank keeps 2p-1 micro-batches",
     .splits_backward = true,
     .make = zb_h2},
};

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const ScheduleRow& row : kTable) all.emplace_back(row.name);
  return all;
}

}  // namespace

std::span<const ScheduleRow> schedule_table() { return kTable; }

const ScheduleRow& find_schedule(std::string_view name) {
  for (const ScheduleRow& row : kTable)
    if (row.name == name) return row;
  const std::vector<std::string> all = names();
  const std::string meant = nearest(name, all);
  throw Error(Fault::usage, {.what = "there is no such pipeline schedule",
                             .where = "parallel.schedule",
                             .found = std::string(name),
                             .expected = fmt::format("{}", fmt::join(all, ", ")),
                             .fix = meant.empty() ? "" : fmt::format("parallel.schedule = \"{}\"", meant)});
}

std::optional<Report> shape_fault(const ScheduleRow& row, const ScheduleShape& shape) {
  const int p = shape.ranks, v = shape.virtual_stages, m = shape.micro_batches;
  check(p >= 1 && v >= 1 && m >= 1, "[shape_fault] {}: {}", row.name, to_string(shape));
  if (row.interleaved && v == 1)
    return Report{.what = fmt::format("schedule {} needs several stages per rank", row.name),
                  .where = "parallel.virtual_stages",
                  .found = "1",
                  .expected = "at least 2",
                  .fix = "parallel.virtual_stages = 2, or parallel.schedule = \"1f1b\""};
  if (!row.interleaved && v > 1)
    return Report{.what = fmt::format("schedule {} has one stage per rank", row.name),
                  .where = "parallel.virtual_stages",
                  .found = std::to_string(v),
                  .expected = "1",
                  .fix = "parallel.virtual_stages = 1, or parallel.schedule = \"interleaved\""};
  if (m < p)
    return Report{.what = "there are fewer micro-batches than pipeline ranks: some would always idle",
                  .where = "batch.micro_batch",
                  .found = to_string(shape),
                  .expected = fmt::format("at least {} micro-batches per step", p),
                  .fix = "a smaller batch.micro_batch, or a larger batch.tokens_per_step"};
  if (row.whole_rounds && m % p != 0)
    return Report{
        .what = fmt::format("schedule {} takes micro-batches in rounds, one for each rank", row.name),
        .where = "batch.micro_batch",
        .found = fmt::format("micro-batches {} / pp {} = {} remainder {}", m, p, m / p, m % p),
        .expected = "micro-batches = pp x whole number",
        .fix = fmt::format("{} or {} micro-batches per step", m / p * p, (m / p + 1) * p)};
  constexpr int kMost = std::numeric_limits<int16_t>::max();
  if (m > kMost || shape.stages() > kMost)
    return Report{.what = "the pipeline is larger than a schedule can name",
                  .where = "parallel.pp",
                  .found = to_string(shape),
                  .expected = fmt::format("at most {} micro-batches and {} stages", kMost, kMost)};
  return std::nullopt;
}

Schedule make_schedule(std::string_view name, const ScheduleShape& shape) {
  const ScheduleRow& row = find_schedule(name);
  if (auto fault = shape_fault(row, shape)) throw Error(Fault::usage, std::move(*fault));
  Schedule schedule{.micro_batches = shape.micro_batches, .stage_rank = row.place(shape), .ranks = {}};
  for (int rank = 0; rank < shape.ranks; ++rank) schedule.ranks.push_back(row.make(shape, rank));
  return schedule;
}

}  // namespace strata
