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
#include "core/base/error.h"
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

[[noreturn]] void refuse(std::string what, std::string where, std::string found, std::string expected,
                         std::string fix) {
  throw Error(Fault::usage,
              {std::move(what), std::move(where), std::move(found), std::move(expected), std::move(fix)});
}

}  // namespace

std::span<const ScheduleRow> schedule_table() { return kTable; }

const ScheduleRow& find_schedule(std::string_view name) {
  for (const ScheduleRow& row : kTable)
    if (row.name == name) return row;
  const std::vector<std::string> all = names();
  const std::string meant = nearest(name, all);
  refuse("there is no such pipeline schedule", "parallel.schedule", std::string(name),
         fmt::format("{}", fmt::join(all, ", ")),
         meant.empty() ? "" : fmt::format("parallel.schedule = \"{}\"", meant));
}

void require_shape(const ScheduleRow& row, const ScheduleShape& shape) {
  const int p = shape.ranks, v = shape.virtual_stages, m = shape.micro_batches;
  check(p >= 1 && v >= 1 && m >= 1, "[require_shape] {}: {}", row.name, to_string(shape));
  if (row.interleaved && v == 1)
    refuse(fmt::format("schedule {} needs several stages per rank", row.name), "parallel.virtual_stages", "1",
           "at least 2", "parallel.virtual_stages = 2, or parallel.schedule = \"1f1b\"");
  if (!row.interleaved && v > 1)
    refuse(fmt::format("schedule {} has one stage per rank", row.name), "parallel.virtual_stages",
           std::to_string(v), "1", "parallel.virtual_stages = 1, or parallel.schedule = \"interleaved\"");
  if (m < p)
    refuse("there are fewer micro-batches than pipeline ranks: some would always idle", "batch.micro_batch",
           to_string(shape), fmt::format("at least {} micro-batches per step", p),
           fmt::format("more micro-batches (a smaller batch.micro_batch or larger batch.tokens_per_step), or "
                       "parallel.pp = {}",
                       m));
  if (row.whole_rounds && m % p != 0)
    refuse(fmt::format("schedule {} takes micro-batches in rounds, one for each rank", row.name),
           "batch.micro_batch", fmt::format("micro-batches {} / pp {} = {} remainder {}", m, p, m / p, m % p),
           "micro-batches = pp x whole number",
           fmt::format("{} or {} micro-batches per step", m / p * p, (m / p + 1) * p));
  constexpr int kMost = std::numeric_limits<int16_t>::max();
  if (m > kMost || shape.stages() > kMost)
    refuse("the pipeline is larger than a schedule can name", "parallel.pp", to_string(shape),
           fmt::format("at most {} micro-batches and {} stages", kMost, kMost), "");
}

Schedule make_schedule(std::string_view name, const ScheduleShape& shape) {
  const ScheduleRow& row = find_schedule(name);
  require_shape(row, shape);
  Schedule schedule{.micro_batches = shape.micro_batches, .stage_rank = row.place(shape), .ranks = {}};
  for (int rank = 0; rank < shape.ranks; ++rank) schedule.ranks.push_back(row.make(shape, rank));
  return schedule;
}

}  // namespace strata
