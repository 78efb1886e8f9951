// SPDX-License-Identifier: Apache-2.0
// Jobs under mpirun that go wrong: each ends soon, with the exit code of its cause and one message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <regex>
#include <string>

namespace strata {
namespace {

using testing::HasSubstr;

struct Outcome {
  int code = 0;
  std::string text;
  double seconds = 0;

  // What the program itself said.
  int messages() const {
    const std::regex line("strata: error: ");
    return static_cast<int>(
        std::distance(std::sregex_iterator(text.begin(), text.end(), line), std::sregex_iterator()));
  }
};

// A job that runs longer than `limit_s` is ended and has code 124.
Outcome run(int ranks, const std::string& arguments, int limit_s = 60) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string command = "timeout -k 5 " + std::to_string(limit_s) + " " STRATA_MPIRUN " -n " +
                              std::to_string(ranks) + " " STRATA_SCENARIO " " + arguments + " 2>&1";
  Outcome outcome;
  FILE* const pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) outcome.text.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return outcome;
}

TEST(MpiJobs, AJobThatGoesWellSaysNothing) {
  const Outcome outcome = run(4, "fine");
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_EQ(outcome.text, "");
}

TEST(MpiJobs, TheRankThatFailsSpeaksForAll) {
  const Outcome outcome = run(4, "one-fails");
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_EQ(outcome.messages(), 1) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("the token file is cut short"));
  EXPECT_LT(outcome.seconds, 10);
}

TEST(MpiJobs, RanksThatDoNotStopAreStopped) {
  const Outcome outcome = run(3, "one-fails-others-compute");
  EXPECT_EQ(outcome.code, 7) << outcome.text;
  EXPECT_EQ(outcome.messages(), 1) << outcome.text;
  EXPECT_LT(outcome.seconds, 15);
}

TEST(MpiJobs, AnAbortEndsAJobWhoseEveryRankHangs) {
  const Outcome outcome = run(3, "abort-beside");
  EXPECT_EQ(outcome.code, 8) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("the watchdog has seen enough"));
  EXPECT_LT(outcome.seconds, 15);
}

TEST(MpiJobs, SizesThatDifferAreNamed) {
  const Outcome outcome = run(3, "sizes-differ");
  EXPECT_EQ(outcome.code, 8) << outcome.text;
  EXPECT_THAT(outcome.text,
              testing::ContainsRegex("rank 2 sends (more|2000) bytes where 1600|where 2000 are expected"));
  EXPECT_EQ(outcome.messages(), 1) << "every rank finds the fault by itself: " << outcome.text;
  EXPECT_LT(outcome.seconds, 15);
}

TEST(MpiJobs, AFailureOnTheWayOutDoesNotWaitForOthers) {
  const Outcome outcome = run(2, "one-returns");
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_EQ(outcome.messages(), 1) << outcome.text;
}

TEST(MpiJobs, SynchronousSendsFindAProgramThatReliesOnBuffering) {
  EXPECT_EQ(run(2, "relies-on-buffering").code, 0);
  EXPECT_EQ(run(2, "relies-on-buffering --synchronous", 2).code, 124) << "it must not end";
}

}  // namespace
}  // namespace strata
