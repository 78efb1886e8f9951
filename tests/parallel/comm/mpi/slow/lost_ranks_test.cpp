// SPDX-License-Identifier: Apache-2.0
// Processes that are stopped, killed or hang under mpirun, with a watchdog of five seconds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/dist/communicator.h"
#include "tests/parallel/comm/mpi/mpi_job.h"

namespace strata {
namespace {

using testing::HasSubstr;

void expect_named(const Outcome& outcome, const std::string& what, const std::string& found) {
  EXPECT_EQ(outcome.code, 8) << outcome.text;
  EXPECT_EQ(outcome.messages(), 1) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr(what));
  EXPECT_THAT(outcome.text, HasSubstr(found));
  EXPECT_GT(outcome.seconds, 5);
  EXPECT_LT(outcome.seconds, 15);
}

TEST(LostRanks, AStoppedRankIsNamed) {
  const Outcome outcome = run_job(4, "stopped-2");
  expect_named(outcome, "rank 2 has been silent for", "rank 2@" + host_name());
  EXPECT_THAT(outcome.text, HasSubstr("when last heard: step 12, forward, in no operation"));
}

TEST(LostRanks, TheJudgeItselfIsNamed) {
  expect_named(run_job(4, "stopped-0"), "rank 0 has been silent for", "rank 0@" + host_name());
}

TEST(LostRanks, ARankThatHangsIsNamed) {
  const Outcome outcome = run_job(3, "hangs");
  expect_named(outcome, "no rank has done anything for", "rank 1: step 4, optimizer, in no operation");
  EXPECT_THAT(outcome.text, HasSubstr("ranks 0, 2 in #1 all_reduce 1 of \"data\" (3 ranks), 4000 bytes"));
}

// mpirun sees a dead process by itself.
TEST(LostRanks, AKilledRankEndsTheJob) {
  const Outcome outcome = run_job(4, "killed-1");
  EXPECT_NE(outcome.code, 0);
  EXPECT_NE(outcome.code, 124) << "it did not end";
  EXPECT_THAT(outcome.text, testing::ContainsRegex("rank 1 .*signal 9"));
  EXPECT_LT(outcome.seconds, 10);
}

}  // namespace
}  // namespace strata
