// SPDX-License-Identifier: Apache-2.0
// Published figures of the schedules, to the last bit; what transfers cost; the diagrams.
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "core/base/check.h"
#include "parallel/schedules/schedule_table.h"
#include "parallel/schedules/schedule_timeline.h"

namespace strata {
namespace {

Schedule make(std::string_view name, int p, int m, int v = 1) {
  return make_schedule(name, {.ranks = p, .virtual_stages = v, .micro_batches = m});
}

TEST(ScheduleTimeline, OneForwardOneBackward) {
  const ScheduleTimeline timeline = schedule_timeline(make("1f1b", 8, 64));
  EXPECT_EQ(timeline.makespan, 213);
  EXPECT_EQ(timeline.bubble_over_ideal(), 0.109375);
  EXPECT_EQ(timeline.bubble_of_total(), 7.0 / 71.0);
  for (int r = 0; r < 8; ++r) EXPECT_EQ(timeline.ranks[static_cast<size_t>(r)].peak_activations, 8 - r);
}

TEST(ScheduleTimeline, GPipe) {
  const ScheduleTimeline timeline = schedule_timeline(make("gpipe", 8, 64));
  for (int r = 0; r < 8; ++r) {
    EXPECT_EQ(timeline.idle(r), 21);
    EXPECT_EQ(timeline.ranks[static_cast<size_t>(r)].peak_activations, 64);
  }
}

TEST(ScheduleTimeline, Interleaved) {
  const ScheduleTimeline timeline = schedule_timeline(make("interleaved", 8, 64, 4));
  EXPECT_EQ(timeline.bubble_over_ideal(), 0.02734375);
  EXPECT_EQ(timeline.ranks[0].peak_activations, 9.75);
}

// Tenths of the published times are whole numbers: then the figures are exact.
TEST(ScheduleTimeline, ZeroBubbleH1) {
  for (const auto& [p, idle] : {std::pair{4, 42.0}, {8, 98.0}, {16, 210.0}}) {
    const ScheduleTimeline timeline = schedule_timeline(make("zb-h1", p, 4 * p), {10, 12, 8, 0});
    const ScheduleTimeline rounded = schedule_timeline(make("zb-h1", p, 4 * p), {1, 1.2, 0.8, 0});
    for (int r = 0; r < p; ++r) {
      EXPECT_EQ(timeline.idle(r), idle) << p;
      EXPECT_NEAR(rounded.idle(r), idle / 10, 1e-11) << p;
      EXPECT_EQ(timeline.ranks[static_cast<size_t>(r)].peak_activations, p);
    }
  }
}

TEST(ScheduleTimeline, ZeroBubbleH2) {
  const ScheduleTimeline timeline = schedule_timeline(make("zb-h2", 8, 64));
  for (int r = 0; r < 8; ++r) {
    EXPECT_EQ(timeline.ranks[static_cast<size_t>(r)].own_idle(), 0);
    EXPECT_EQ(timeline.idle(r), 7);
    EXPECT_EQ(timeline.ranks[static_cast<size_t>(r)].peak_activations, 15);
  }
}

// By hand, ranks 0 and 1 with 0.5 between them: F0.0 0-1, F0.1 1-2; F1.0 1.5-2.5, B1.0 2.5-4.5, F1.1 4.5-5.5,
// B1.1 5.5-7.5; B0.0 5-7, B0.1 8-10.
TEST(ScheduleTimeline, TransfersDelayTheNeighbour) {
  const ScheduleTimeline timeline = schedule_timeline(make("1f1b", 2, 2), {.transfer = 0.5});
  const auto begins = [&](size_t rank) {
    std::vector<double> all;
    for (const auto& span : timeline.cells[rank]) all.push_back(span.begin);
    return all;
  };
  EXPECT_EQ(begins(0), (std::vector<double>{0, 1, 5, 8}));
  EXPECT_EQ(begins(1), (std::vector<double>{1.5, 2.5, 4.5, 5.5}));
  EXPECT_EQ(timeline.makespan, 10);
  EXPECT_EQ(timeline.ranks[1].own_idle(), 0);
  EXPECT_EQ(timeline.idle(1), 4);
  // Stages of one rank hand over without a transfer.
  EXPECT_EQ(schedule_timeline(make("interleaved", 1, 1, 2), {.transfer = 100}).makespan, 3);
}

TEST(ScheduleTimeline, UnequalStagesCountByTheirNumber) {
  // Three stages on two ranks: each is two thirds of a rank's share, which is half of the model.
  const Schedule schedule = parse_schedule("F0.0 F2.0 B2.0 B0.0\nF1.0 B1.0", "");
  const ScheduleTimeline timeline = schedule_timeline(schedule, {3, 3, 3, 0});
  EXPECT_EQ(timeline.makespan, 18);
  EXPECT_DOUBLE_EQ(timeline.ranks[0].peak_activations, 4.0 / 3);
}

TEST(ScheduleTimeline, ADeadlockIsABrokenContract) {
  EXPECT_THROW((void)schedule_timeline(parse_schedule("F0.0 B0.0 F0.1 B0.1\nF1.0 F1.1 B1.0 B1.1", "")),
               ContractError);
}

TEST(SchedulePicture, OneForwardOneBackward) {
  EXPECT_EQ(picture(make("1f1b", 4, 4)),
            "rank 0   F0 F1 F2 F3 .  .  .  .  .  .  B0 =  .  B1 =  .  B2 =  .  B3 =   keeps 4\n"
            "rank 1   .  F0 F1 F2 .  .  .  .  B0 =  F3 B1 =  .  B2 =  .  B3 =  .  .   keeps 3\n"
            "rank 2   .  .  F0 F1 .  .  B0 =  F2 B1 =  F3 B2 =  .  B3 =  .  .  .  .   keeps 2\n"
            "rank 3   .  .  .  F0 B0 =  F1 B1 =  F2 B2 =  F3 B3 =  .  .  .  .  .  .   keeps 1\n");
}

TEST(SchedulePicture, SplitBackward) {
  EXPECT_EQ(picture(make("zb-h2", 2, 4)),
            "rank 0   F0 F1 F2 I0 W0 F3 I1 W1 I2 W2 I3 W3 .   keeps 3\n"
            "rank 1   .  F0 I0 F1 I1 F2 I2 W0 F3 I3 W1 W2 W3  keeps 3\n");
}

TEST(SchedulePicture, SeveralStagesShowTheirNumberAndWideOnesAreCut) {
  EXPECT_EQ(picture(make("interleaved", 2, 2, 2), 8),
            "rank 0   F0.0 F0.1 F2.0 F2.1 .    .    B2.0 =    ...  keeps 2\n"
            "rank 1   .    F1.0 F1.1 F3.0 B3.0 =    F3.1 B3.1 ...  keeps 1.5\n");
}

}  // namespace
}  // namespace strata
