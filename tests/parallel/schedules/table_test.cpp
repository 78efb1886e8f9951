// SPDX-License-Identifier: Apache-2.0
// Every row of the table of schedules, over many shapes: possible, complete, printed and read back, expanded
// to programs; the closed formulas of the literature; and the shapes that are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "parallel/schedules/check_schedule.h"
#include "parallel/schedules/schedule_table.h"
#include "parallel/schedules/schedule_timeline.h"
#include "tests/parallel/schedules/slow_judge.h"

namespace strata {
namespace {

using ::testing::HasSubstr;

// Calls visit(row, shape) for every shape that a row takes, up to 9 ranks, 5 stages per rank, 40
// micro-batches.
template <typename Visit>
void for_each_schedule(Visit visit) {
  for (const ScheduleRow& row : schedule_table())
    for (int p = 1; p <= 9; ++p)
      for (int v = row.interleaved ? 2 : 1; v <= (row.interleaved ? 5 : 1); ++v)
        for (int m = p; m <= 40; m += row.whole_rounds ? p : (m < 20 ? 1 : 7))
          visit(row, ScheduleShape{.ranks = p, .virtual_stages = v, .micro_batches = m});
}

TEST(ScheduleTable, EveryRowIsCompleteAndPossible) {
  int schedules = 0;
  for_each_schedule([&](const ScheduleRow& row, const ScheduleShape& shape) {
    const Schedule schedule = make_schedule(row.name, shape);
    const auto problems = check_schedule(schedule);
    EXPECT_TRUE(problems.empty()) << row.name << ", " << to_string(shape) << "\n"
                                  << explain(schedule, problems);
    if (shape.stages() * shape.micro_batches <= 60) {
      EXPECT_EQ(slow_judge(schedule), "") << row.name << ", " << to_string(shape);
    }
    EXPECT_EQ(schedule.num_stages(), shape.stages());
    bool split = false;
    for (const Grid& grid : schedule.ranks)
      for (const Cell& cell : grid) split |= cell.kind == CellKind::backward_weight;
    EXPECT_EQ(split, row.splits_backward) << row.name;
    ++schedules;
  });
  EXPECT_GT(schedules, 1000);
}

TEST(ScheduleTable, EveryRowPrintsAndReadsBack) {
  for_each_schedule([&](const ScheduleRow& row, const ScheduleShape& shape) {
    const Schedule schedule = make_schedule(row.name, shape);
    ASSERT_EQ(parse_schedule(to_text(schedule), "text"), schedule) << row.name << ", " << to_string(shape);
    ASSERT_EQ(schedule_from_text(to_text(schedule), "text", shape), schedule);
  });
}

TEST(ScheduleTable, NamesAreUniqueAndDocumented) {
  std::set<std::string_view> names;
  for (const ScheduleRow& row : schedule_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_FALSE(row.doc.empty()) << row.name;
    EXPECT_EQ(&find_schedule(row.name), &row);
  }
}

// Closed formulas in exact numbers: times are small integers, so sums of doubles round nothing away. T is a
// number of units that every v divides.
struct Expected {
  double idle;                           // on every rank, of the makespan
  std::function<double(int rank)> peak;  // in shares of a rank
};
Expected expected_of(std::string_view name, const ScheduleShape& shape, const StageTimes& t) {
  const int p = shape.ranks, v = shape.virtual_stages, m = shape.micro_batches;
  const double ramp = p - 1;
  if (name == "gpipe")
    return {ramp * (t.forward + t.backward_input + t.backward_weight), [=](int) { return m; }};
  if (name == "1f1b")
    return {ramp * (t.forward + t.backward_input + t.backward_weight), [=](int r) { return p - r; }};
  if (name == "interleaved")
    return {ramp * (t.forward + t.backward_input + t.backward_weight) / v, [=](int r) {
              return std::min<double>(m, (2 * (p - 1 - r) + (v - 1) * p + 1) / static_cast<double>(v));
            }};
  if (name == "zb-h1")
    return {ramp * (t.forward + t.backward_input - t.backward_weight), [=](int) { return p; }};
  if (name == "zb-h2")
    return {ramp * (t.forward + t.backward_input - 2 * t.backward_weight), [=](int) { return 2 * p - 1; }};
  ADD_FAILURE() << "schedule " << name << " has no formula in this test";
  return {};
}

TEST(ScheduleTable, ClosedFormulas) {
  int formulas = 0;
  for (const StageTimes& times : {StageTimes{60, 60, 60, 0}, StageTimes{60, 120, 60, 0},
                                  StageTimes{120, 180, 60, 0}, StageTimes{300, 360, 240, 0}}) {
    for_each_schedule([&](const ScheduleRow& row, const ScheduleShape& shape) {
      const int p = shape.ranks;
      // The split schedules reach their figures once the warm-up of rank 0 fits into the micro-batches.
      if (row.splits_backward && shape.micro_batches < 2 * p - 1) return;
      const bool own_span = row.name == "zb-h2";
      const Expected expected = expected_of(row.name, shape, times);
      const ScheduleTimeline timeline = schedule_timeline(make_schedule(row.name, shape), times);
      for (int r = 0; r < p; ++r) {
        const auto& rank = timeline.ranks[static_cast<size_t>(r)];
        // Under unequal times ZB-H2's formula is that of the rank that idles most.
        if (own_span && r > 0) {
          EXPECT_LE(rank.own_idle(), expected.idle) << to_string(shape) << ", rank " << r;
        } else {
          EXPECT_EQ(own_span ? rank.own_idle() : timeline.idle(r), expected.idle)
              << row.name << ", " << to_string(shape) << ", rank " << r;
        }
        EXPECT_DOUBLE_EQ(rank.peak_activations, expected.peak(r))
            << row.name << ", " << to_string(shape) << ", rank " << r;
      }
      if (own_span && expected.idle == 0) {
        EXPECT_EQ(timeline.idle(0), (p - 1) * times.forward) << to_string(shape);
      }
      ++formulas;
    });
  }
  EXPECT_GT(formulas, 2000);
}

TEST(ScheduleTable, ExpandsToAProgramPerRank) {
  // Every block of a rank's stages runs forward once for every micro-batch, of other stages never.
  const ScheduleShape shape{.ranks = 2, .virtual_stages = 2, .micro_batches = 4};
  const std::vector<Stage> stages = even_stages(8, shape);
  const Schedule schedule = make_schedule("interleaved", shape);
  for (int rank = 0; rank < 2; ++rank) {
    std::vector<BlockInfo> blocks(10);
    blocks.front().saves_input = blocks.front().defers = false;
    const Program program =
        expand_stages(schedule.ranks[static_cast<size_t>(rank)], stages, blocks, 4, Goal::train);
    std::map<int, int> forwards;
    for (const Action& action : program.list) forwards[action.block] += action.kind == Kind::forward;
    for (int stage = 0; stage < 4; ++stage)
      for (int b = stages[static_cast<size_t>(stage)].begin;
           b < std::min(stages[static_cast<size_t>(stage)].end, 9); ++b)
        EXPECT_EQ(forwards[b], stage % 2 == rank ? 4 : 0) << "block " << b << " on rank " << rank;
  }
}

TEST(ScheduleTable, EvenStagesCoverTheModel) {
  const auto stages = even_stages(12, {.ranks = 3, .virtual_stages = 2, .micro_batches = 3});
  ASSERT_EQ(stages.size(), 6u);
  EXPECT_EQ(stages.front().begin, 0);
  EXPECT_EQ(stages.back().end, 14);
  for (size_t s = 1; s < stages.size(); ++s) EXPECT_EQ(stages[s].begin, stages[s - 1].end);
  EXPECT_EQ(stages[0].end, 3);
  EXPECT_EQ(stages[1].end, 5);
}

std::string refusal(std::function<void()> call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    return error.what();
  }
  return "not refused";
}

TEST(ScheduleTable, RefusalsSayWhatIsLegal) {
  const auto make = [](std::string name, int p, int v, int m) {
    return refusal([=] { (void)make_schedule(name, {.ranks = p, .virtual_stages = v, .micro_batches = m}); });
  };
  EXPECT_EQ(make("1f1", 2, 1, 4),
            "there is no such pipeline schedule\n"
            "  where:    parallel.schedule\n"
            "  found:    1f1\n"
            "  expected: 1f1b, gpipe, interleaved, zb-h1, zb-h2\n"
            "  fix:      parallel.schedule = \"1f1b\"");
  EXPECT_THAT(make("zbh2", 2, 1, 4), HasSubstr("parallel.schedule = \"zb-h2\""));
  EXPECT_THAT(make("dualpipe", 2, 1, 4), Not(HasSubstr("fix")));
  EXPECT_EQ(make("1f1b", 4, 1, 3),
            "there are fewer micro-batches than pipeline ranks: some would always idle\n"
            "  where:    batch.micro_batch\n"
            "  found:    4 ranks, 3 micro-batches\n"
            "  expected: at least 4 micro-batches per step\n"
            "  fix:      a smaller batch.micro_batch, or a larger batch.tokens_per_step");
  EXPECT_EQ(make("interleaved", 4, 2, 10),
            "schedule interleaved takes micro-batches in rounds, one for each rank\n"
            "  where:    batch.micro_batch\n"
            "  found:    micro-batches 10 / pp 4 = 2 remainder 2\n"
            "  expected: micro-batches = pp x whole number\n"
            "  fix:      8 or 12 micro-batches per step");
  EXPECT_EQ(make("interleaved", 4, 1, 8),
            "schedule interleaved needs several stages per rank\n"
            "  where:    parallel.virtual_stages\n"
            "  found:    1\n"
            "  expected: at least 2\n"
            "  fix:      parallel.virtual_stages = 2, or parallel.schedule = \"1f1b\"");
  EXPECT_EQ(make("zb-h1", 4, 3, 8),
            "schedule zb-h1 has one stage per rank\n"
            "  where:    parallel.virtual_stages\n"
            "  found:    3\n"
            "  expected: 1\n"
            "  fix:      parallel.virtual_stages = 1, or parallel.schedule = \"interleaved\"");
  EXPECT_THAT(make("gpipe", 2, 1, 40000), HasSubstr("at most 32767 micro-batches"));
  EXPECT_EQ(refusal([] { (void)even_stages(24, {.ranks = 4, .virtual_stages = 4, .micro_batches = 4}); }),
            "the layers do not divide evenly among the pipeline's stages\n"
            "  where:    parallel.virtual_stages\n"
            "  found:    layers 24 / (pp 4 x virtual_stages 4 = 16) = 1 remainder 8\n"
            "  expected: layers = pp x virtual_stages x whole number\n"
            "  fix:      parallel.virtual_stages = 3 or 6");
  EXPECT_THAT(refusal([] { (void)even_stages(10, {.ranks = 4, .virtual_stages = 1, .micro_batches = 4}); }),
              HasSubstr("fix:      a pp that divides 10"));
}

}  // namespace
}  // namespace strata
