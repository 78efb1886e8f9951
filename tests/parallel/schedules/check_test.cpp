// SPDX-License-Identifier: Apache-2.0
// The checker against a slow judge: random legal schedules and their mutants; and what it says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "core/base/error.h"
#include "parallel/schedules/check_schedule.h"
#include "parallel/schedules/schedule_table.h"
#include "tests/parallel/schedules/slow_judge.h"

namespace strata {
namespace {

using ::testing::HasSubstr;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(engine_); }
  template <typename T>
  void shuffle(std::vector<T>& all) {
    std::shuffle(all.begin(), all.end(), engine_);
  }

 private:
  std::mt19937 engine_;
};

// A schedule no generator would write: stages anywhere, each backward whole or split at random, cells taken
// in any order in which they are possible.
Schedule random_schedule(Random& random) {
  Schedule schedule;
  const int ranks = 1 + random.below(4), stages = ranks * (1 + random.below(3));
  schedule.micro_batches = 1 + random.below(5);
  for (int s = 0; s < stages; ++s) schedule.stage_rank.push_back(s % ranks);
  random.shuffle(schedule.stage_rank);
  schedule.ranks.resize(static_cast<size_t>(ranks));

  // Per (stage, micro-batch) how far it is: 0 nothing, 1 F, 2 I, 3 all.
  std::map<std::pair<int, int>, int> state;
  const int split_of_ten = random.below(11);
  for (int left = stages * schedule.micro_batches; left > 0;) {
    const int s = random.below(stages), mb = random.below(schedule.micro_batches);
    int& at = state[{s, mb}];
    Grid& grid = schedule.ranks[static_cast<size_t>(schedule.stage_rank[static_cast<size_t>(s)])];
    const auto put = [&](CellKind kind) {
      grid.push_back({kind, static_cast<int16_t>(s), static_cast<int16_t>(mb)});
    };
    if (at == 0 && (s == 0 || state[{s - 1, mb}] >= 1)) {
      put(CellKind::forward);
      at = 1;
    } else if (at == 1 && (s == stages - 1 || state[{s + 1, mb}] >= 2)) {
      const bool split = random.below(10) < split_of_ten;
      put(split ? CellKind::backward_input : CellKind::backward);
      at = split ? 2 : 3;
      left -= !split;
    } else if (at == 2) {
      put(CellKind::backward_weight);
      at = 3;
      --left;
    }
  }
  return schedule;
}

enum class Mutation {
  drop,
  swap_neighbours,
  swap_any,
  duplicate,
  stage,
  micro_batch,
  kind,
  move,
  rank,
  count
};

Schedule mutate(const Schedule& right, Mutation mutation, Random& random) {
  Schedule wrong = right;
  const auto rank = static_cast<size_t>(random.below(right.num_ranks()));
  Grid& grid = wrong.ranks[rank];
  const int i = random.below(static_cast<int>(grid.size())), j = random.below(static_cast<int>(grid.size()));
  const auto at = grid.begin() + i;
  Cell& cell = *at;
  switch (mutation) {
    case Mutation::drop:
      grid.erase(at);
      break;
    case Mutation::swap_neighbours:
      std::swap(cell, grid[static_cast<size_t>((i + 1) % static_cast<int>(grid.size()))]);
      break;
    case Mutation::swap_any:
      std::swap(cell, grid[static_cast<size_t>(j)]);
      break;
    case Mutation::duplicate: {
      const Cell copy = cell;
      grid.insert(grid.begin() + j, copy);
      break;
    }
    case Mutation::stage:
      cell.stage = static_cast<int16_t>(random.below(right.num_stages() + 2) - 1);
      break;
    case Mutation::micro_batch:
      cell.micro_batch = static_cast<int16_t>(random.below(right.micro_batches + 2) - 1);
      break;
    case Mutation::kind:
      cell.kind = static_cast<CellKind>(random.below(4));
      break;
    case Mutation::move: {  // within its rank
      const Cell moved = cell;
      grid.erase(at);
      grid.insert(grid.begin() + random.below(static_cast<int>(grid.size()) + 1), moved);
      break;
    }
    case Mutation::rank: {  // to any rank
      const Cell moved = cell;
      grid.erase(at);
      Grid& other = wrong.ranks[static_cast<size_t>(random.below(right.num_ranks()))];
      other.insert(other.begin() + random.below(static_cast<int>(other.size()) + 1), moved);
      break;
    }
    case Mutation::count:
      break;
  }
  return wrong;
}

TEST(CheckSchedule, AgreesWithTheSlowJudgeOnMutants) {
  Random random(20240917);
  const auto table = schedule_table();
  int wrong = 0, right = 0;
  std::map<Mutation, int> refused;
  for (int n = 0; n < 4000; ++n) {
    // Every third from the table, whose orders are tight: most of its swaps deadlock.
    const ScheduleRow& row = table[static_cast<size_t>(random.below(static_cast<int>(table.size())))];
    const int p = 1 + random.below(4);
    const Schedule schedule =
        n % 3 == 0 ? make_schedule(row.name,
                                   {p, row.interleaved ? 2 : 1, row.whole_rounds ? p : p + random.below(3)})
                   : random_schedule(random);
    ASSERT_EQ(slow_judge(schedule), "") << to_text(schedule);
    ASSERT_TRUE(check_schedule(schedule).empty()) << explain(schedule, check_schedule(schedule));
    const auto mutation = static_cast<Mutation>(random.below(static_cast<int>(Mutation::count)));
    Schedule mutant = mutate(schedule, mutation, random);
    if (random.below(4) == 0) mutant = mutate(mutant, Mutation::swap_any, random);
    const std::string verdict = slow_judge(mutant);
    const auto problems = check_schedule(mutant);
    ASSERT_EQ(problems.empty(), verdict.empty())
        << "the judge: " << verdict << "\nthe checker: " << explain(mutant, problems) << to_text(mutant);
    ++(verdict.empty() ? right : wrong);
    refused[mutation] += !verdict.empty();
    for (const ScheduleProblem& problem : problems)
      for (const Place& mark : problem.marks) {
        ASSERT_LT(mark.rank, mutant.num_ranks());
        ASSERT_LE(mark.position, static_cast<int>(mutant.ranks[static_cast<size_t>(mark.rank)].size()));
      }
  }
  EXPECT_GT(wrong, 1500);
  EXPECT_GT(right, 400);
  for (int k = 0; k < static_cast<int>(Mutation::count); ++k)
    EXPECT_GT(refused[static_cast<Mutation>(k)], 100) << k;
}

std::string said(std::string_view text) {
  const Schedule schedule = parse_schedule(text, "my.schedule");
  return explain(schedule, check_schedule(schedule));
}

TEST(CheckSchedule, SaysWhatIsWrongAndMarksIt) {
  EXPECT_EQ(said("F0.0 F0.1 B0.0 B0.1\nF1.0 B1.0 F1.1 B1.1"), "");
  EXPECT_EQ(said("F0.0 B0.0 F0.1 B0.1\nF1.0 B1.0 B1.1 F1.1"),
            "B1.1 before F1.1\n"
            "    rank 0    F0.0   B0.0   F0.1   B0.1 \n"
            "    rank 1    F1.0   B1.0  [B1.1] [F1.1]\n");
  EXPECT_EQ(said("F0.0 B0.0 F0.1 B0.1\nF1.0 B1.0 F1.1"),
            "B1.1 is missing, or I1.1 and W1.1\n"
            "    rank 0    F0.0   B0.0   F0.1   B0.1 \n"
            "    rank 1    F1.0   B1.0  [F1.1]\n");
  EXPECT_EQ(said("F0.0 B0.0 F0.1 B0.1\nF1.0 B1.0"),
            "F1.1 is missing\n"
            "    rank 0    F0.0   B0.0   F0.1   B0.1 \n"
            "    rank 1    F1.0   B1.0  [ ]\n"
            "B1.1 is missing, or I1.1 and W1.1\n"
            "    rank 0    F0.0   B0.0   F0.1   B0.1 \n"
            "    rank 1    F1.0   B1.0  [ ]\n");
  // Each rank's order is right by itself; together they wait for each other.
  EXPECT_EQ(said("F0.0 B0.0 F0.1 B0.1\nF1.0 F1.1 B1.0 B1.1"),
            "deadlock: rank 0 at B0.0 waits for B1.0 of rank 1, rank 1 at F1.1 waits for F0.1 of rank 0\n"
            "    rank 0    F0.0  [B0.0]  F0.1   B0.1 \n"
            "    rank 1    F1.0  [F1.1]  B1.0   B1.1 \n");
  // Two stages of one rank can wait for each other alone.
  EXPECT_EQ(said("F1.0 F0.0 B1.0 B0.0"),
            "deadlock: rank 0 at F1.0 waits for F0.0 of rank 0\n"
            "    rank 0   [F1.0]  F0.0   B1.0   B0.0 \n");
  EXPECT_THAT(said("F0.0 I0.0 F0.0 W0.0"),
              HasSubstr("F0.0 twice\n    rank 0   [F0.0]  I0.0  [F0.0]  W0.0 \n"));
  EXPECT_THAT(said("F0.0 I0.0"), HasSubstr("W0.0 is missing\n    rank 0    F0.0  [I0.0]\n"));
  EXPECT_THAT(said("F0.0 W0.0"), HasSubstr("I0.0 is missing\n    rank 0    F0.0  [W0.0]\n"));
  EXPECT_THAT(said("F0.0 W0.0 I0.0"), HasSubstr("W0.0 before I0.0\n    rank 0    F0.0  [W0.0] [I0.0]\n"));
  EXPECT_THAT(said("F0.0 B0.0 W0.0"), HasSubstr("W0.0 beside B0.0: a backward is B, or I and W\n"));
  EXPECT_THAT(said("F0.0 F1.0 B1.0 B0.0\nF1.0"), HasSubstr("F1.0 on rank 1: stage 1 is on rank 0\n"));
  EXPECT_THAT(said("F0.0 B0.0\nF2.0 B2.0"), HasSubstr("stage 1 is on no rank\n"));
  EXPECT_EQ(said("F30000.30000 B0.0"),
            "2 cells for 30001 stages and 30001 micro-batches: at least 1800120002 are needed\n");
}

TEST(CheckSchedule, LongRowsShowTheFaultyPlace) {
  Schedule schedule = make_schedule("1f1b", {.ranks = 8, .virtual_stages = 1, .micro_batches = 32});
  std::swap(schedule.ranks[3][18], schedule.ranks[3][21]);
  EXPECT_EQ(explain(schedule, check_schedule(schedule)),
            "deadlock: rank 4 at F4.11 waits for F3.11 of rank 3, rank 3 at B3.8 waits for B4.8 of rank 4\n"
            "    rank 2   ...  B2.3   F2.9   B2.4   F2.10   B2.5   F2.11   B2.6   F2.12   B2.7   F2.13   "
            "B2.8   F2.14  "
            " B2.9  ...\n"
            "    rank 3   ...  F3.8   B3.4   F3.9   B3.5   F3.10   B3.6  [B3.8]  B3.7   F3.12   F3.11   "
            "F3.13   B3.9  "
            " F3.14  ...\n"
            "    rank 4   ...  F4.8   B4.5   F4.9   B4.6   F4.10   B4.7  [F4.11]  B4.8   F4.12   B4.9   "
            "F4.13   B4.10 "
            "  F4.14  ...\n"
            "    rank 5   ...  B5.5   F5.8   B5.6   F5.9   B5.7   F5.10   B5.8   F5.11   B5.9   F5.12   "
            "B5.10   F5.13 "
            "  B5.11  ...\n");
}

}  // namespace
}  // namespace strata
