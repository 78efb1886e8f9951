// SPDX-License-Identifier: Apache-2.0
// Jobs under mpirun that go wrong: each ends soon, with the exit code of its cause and one message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/parallel/comm/mpi/mpi_job.h"

namespace strata {
namespace {

using testing::HasSubstr;

TEST(MpiJobs, AJobThatGoesWellSaysNothing) {
  const Outcome outcome = run_job(4, "fine");
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_EQ(outcome.text, "");
}

TEST(MpiJobs, TheRankThatFailsSpeaksForAll) {
  const Outcome outcome = run_job(4, "one-fails");
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_EQ(outcome.messages(), 1) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("the token file is cut short"));
  for (const char* other : {"rank 0 stopped", "rank 2 stopped", "rank 3 stopped"})
    EXPECT_THAT(outcome.text, HasSubstr(other)) << "it was ended before it could stop by itself";
  EXPECT_LT(outcome.seconds, 10);
}

TEST(MpiJobs, RanksThatDoNotStopAreStopped) {
  const Outcome outcome = run_job(3, "one-fails-others-compute");
  EXPECT_EQ(outcome.code, 7) << outcome.text;
  EXPECT_EQ(outcome.messages(), 1) << outcome.text;
  EXPECT_LT(outcome.seconds, 15);
}

TEST(MpiJobs, AnAbortEndsAJobWhoseEveryRankHangs) {
  const Outcome outcome = run_job(3, "abort-beside");
  EXPECT_EQ(outcome.code, 8) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("the watchdog has seen enough"));
  EXPECT_LT(outcome.seconds, 15);
}

TEST(MpiJobs, SizesThatDifferAreNamed) {
  const Outcome outcome = run_job(3, "sizes-differ");
  EXPECT_EQ(outcome.code, 8) << outcome.text;
  EXPECT_THAT(outcome.text,
              testing::ContainsRegex("rank 2 sends (more|2000) bytes where 1600|where 2000 are expected"));
  EXPECT_EQ(outcome.messages(), 1) << "every rank finds the fault by itself: " << outcome.text;
  EXPECT_LT(outcome.seconds, 15);
}

TEST(MpiJobs, AFailureOnTheWayOutDoesNotWaitForOthers) {
  const Outcome outcome = run_job(2, "one-returns");
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_EQ(outcome.messages(), 1) << outcome.text;
}

TEST(MpiJobs, SynchronousSendsFindAProgramThatReliesOnBuffering) {
  EXPECT_EQ(run_job(2, "relies-on-buffering").code, 0);
  EXPECT_EQ(run_job(2, "relies-on-buffering --synchronous", 2).code, 124) << "it must not end";
}

}  // namespace
}  // namespace strata
