// SPDX-License-Identifier: Apache-2.0
#include "parallel/stall_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/dist/communicator.h"

namespace strata {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

// A job of four ranks whose clock is turned by hand, second by second, with a timeout of ten.
class StallJudgeTest : public testing::Test {
 protected:
  struct Behaviour {
    bool speaks = true, works = true, waits_for_storage = false, leaves = false;
    std::string operation;
  };

  // The first second with a report, or 0; at most `limit` later.
  int run(int limit) {
    for (int i = 0; i < limit; ++i) {
      ++second_;
      for (int rank = 0; rank < 4; ++rank) {
        Behaviour& does = ranks[rank];
        if (!does.speaks) continue;
        ticks_[rank] += does.works ? 1 : 0;
        judge.hear({.rank = rank,
                    .host = "node" + std::to_string(rank),
                    .step = 12,
                    .phase = "forward",
                    .operation = does.operation,
                    .ticks = ticks_[rank],
                    .waits_for_storage = does.waits_for_storage,
                    .leaving = does.leaves},
                   now());
      }
      if (auto found = judge.judge(now())) {
        report = *found;
        return second_;
      }
    }
    return 0;
  }
  StallJudge::Clock::time_point now() const { return StallJudge::Clock::time_point(seconds(1000 + second_)); }

  int second_ = 0;
  StallJudge judge{{0, 1, 2, 3}, StallJudge::View::whole_job, seconds(10), now()};
  Behaviour ranks[4];
  Report report;

 private:
  uint64_t ticks_[4] = {};
};

TEST_F(StallJudgeTest, AJobThatWorksIsNotStalled) { EXPECT_EQ(run(1000), 0); }

TEST_F(StallJudgeTest, ASilentRankIsNamedWhenTheTimeIsUp) {
  run(5);
  ranks[2] = {.speaks = false, .operation = "unheard"};
  EXPECT_EQ(run(100), 5 + 11);
  EXPECT_EQ(report.what, "rank 2 has been silent for 11.0 s");
  EXPECT_EQ(report.where, "rank 2@node2");
  EXPECT_THAT(report.found, HasSubstr("step 12, forward"));
}

TEST_F(StallJudgeTest, WhatASilentRankWasInIsNamed) {
  ranks[1].operation = "#7 all_reduce 3 of \"data\" (4 ranks)";
  run(3);
  ranks[1].speaks = ranks[3].speaks = false;
  EXPECT_EQ(run(100), 3 + 11);
  EXPECT_EQ(report.what, "rank 1 has been silent for 11.0 s, and so have ranks 3");
  EXPECT_THAT(report.found, HasSubstr("in #7 all_reduce 3 of \"data\""));
}

TEST_F(StallJudgeTest, ARankThatWasNeverHeardIsNamed) {
  ranks[3].speaks = false;
  EXPECT_EQ(run(100), 11);
  EXPECT_EQ(report.where, "rank 3");
  EXPECT_THAT(report.found, HasSubstr("never"));
}

TEST_F(StallJudgeTest, SilenceAfterGoodByeIsRight) {
  run(3);
  ranks[1].leaves = true;
  run(1);
  ranks[1].speaks = false;
  EXPECT_EQ(run(1000), 0);
}

TEST_F(StallJudgeTest, SlowIsNotStalled) {
  for (Behaviour& does : ranks) does.works = false;
  for (int i = 0; i < 50; ++i) {
    ranks[i % 4].works = true;
    EXPECT_EQ(run(1), 0);
    ranks[i % 4].works = false;
    EXPECT_EQ(run(8), 0) << "one sign of life in nine seconds, on one rank";
  }
}

TEST_F(StallJudgeTest, StandstillNamesTheRankTheOthersWaitFor) {
  run(4);
  for (Behaviour& does : ranks) does = {.works = false, .operation = "all_gather 9"};
  ranks[2].operation = "";
  EXPECT_EQ(run(100), 4 + 11);
  EXPECT_EQ(report.what, "no rank has done anything for 11.0 s");
  EXPECT_EQ(report.where, "rank 2@node2");
  EXPECT_EQ(report.found, "rank 2: step 12, forward, in no operation; ranks 0, 1, 3 in all_gather 9");
}

TEST_F(StallJudgeTest, SilenceSaysMoreThanTheStandstillItCauses) {
  for (Behaviour& does : ranks) does = {.works = false, .operation = "all_gather 9"};
  ranks[2].operation = "";
  EXPECT_EQ(run(4), 0);
  ranks[2].speaks = false;  // four seconds into the standstill
  EXPECT_EQ(run(100), 4 + 11);
  EXPECT_EQ(report.what, "rank 2 has been silent for 11.0 s");
}

TEST_F(StallJudgeTest, StandstillOfAllNamesWhatEachWaitsIn) {
  for (Behaviour& does : ranks) does = {.works = false, .operation = "all_gather 9"};
  ranks[0].operation = "broadcast 4";
  EXPECT_EQ(run(100), 12);  // the first heartbeats count as progress
  EXPECT_EQ(report.found, "ranks 1, 2, 3 in all_gather 9; rank 0 in broadcast 4");
}

TEST_F(StallJudgeTest, WaitingForStorageIsNotAStallUnlessSilent) {
  run(1);
  for (Behaviour& does : ranks) does = {.works = false, .operation = "barrier 1"};
  ranks[3] = {.works = false, .waits_for_storage = true};
  EXPECT_EQ(run(1000), 0);
  ranks[3].speaks = false;
  EXPECT_EQ(run(100), 1001 + 11);
  EXPECT_EQ(report.where, "rank 3@node3");
}

TEST_F(StallJudgeTest, WhoHearsOneRankOnlyJudgesItsSilence) {
  judge = StallJudge({0}, StallJudge::View::some_ranks, seconds(10), now());
  ranks[0].works = false;
  EXPECT_EQ(run(100), 0);
  ranks[0].speaks = false;
  EXPECT_EQ(run(100), 100 + 11);
}

TEST_F(StallJudgeTest, WhoSleptHimselfAccusesNobody) {
  run(5);
  second_ += 3600;
  EXPECT_EQ(judge.judge(now()), std::nullopt);
  EXPECT_EQ(run(100), 0);
  ranks[0].speaks = false;
  EXPECT_NE(run(100), 0);
}

TEST(Heartbeats, SurviveTheWire) {
  const Heartbeat beat{.rank = 3,
                       .host = "node\x1f 3",
                       .step = 1'000'000'000'000,
                       .phase = "save",
                       .operation = std::string(5000, 'x'),
                       .ticks = ~uint64_t{0},
                       .waits_for_storage = true,
                       .leaving = true};
  const std::string bytes = encode(beat);
  EXPECT_LE(bytes.size(), NoticeChannel::kLongest);
  const auto back = decode(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->rank, 3);
  EXPECT_EQ(back->host, "node  3");
  EXPECT_EQ(back->step, beat.step);
  EXPECT_EQ(back->phase, "save");
  EXPECT_EQ(back->ticks, beat.ticks);
  EXPECT_TRUE(back->waits_for_storage);
  EXPECT_TRUE(back->leaving);
  EXPECT_THAT(back->operation, testing::StartsWith("xxx"));
  EXPECT_FALSE(decode(""));
  EXPECT_FALSE(decode(bytes.substr(0, 12)));
  EXPECT_FALSE(decode("a" + bytes));
}

TEST(StallTimeout, IsAMinuteOrFiveSteps) {
  EXPECT_EQ(default_stall_timeout(0.5), seconds(60));
  EXPECT_EQ(default_stall_timeout(100), seconds(500));
}

}  // namespace
}  // namespace strata
