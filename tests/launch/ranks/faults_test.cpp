// SPDX-License-Identifier: Apache-2.0
// Ranks that die, stop or differ: the job ends soon, with one message that names the rank, and nothing of it
// stays.
#include <gmock/gmock.h>

#include "tests/launch/ranks/job_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

class FaultTest : public JobTest {
 protected:
  // A shell script through which every rank is started: rank 1 does something to itself after a while.
  std::string rank_one_does(const std::string& what) {
    std::ofstream(folder_ / "start.sh") << "#!/bin/sh\n"
                                           "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then ( sleep 2; "
                                        << what << " ) & fi\nexec \"$@\"\n";
    std::filesystem::permissions(folder_ / "start.sh", std::filesystem::perms::owner_all);
    return "./start.sh";
  }
  // Processes of the program that still live in this test's folder.
  int orphans() const {
    int alive = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::error_code ignored;
      const auto cwd = std::filesystem::read_symlink(entry.path() / "cwd", ignored);
      const auto exe = std::filesystem::read_symlink(entry.path() / "exe", ignored);
      alive += cwd == folder_ && exe == std::filesystem::path(STRATA_PROGRAM) ? 1 : 0;
    }
    return alive;
  }
  static constexpr const char* kLong =
      "train job.toml run.steps=1000000 eval.every=0 checkpoint.every=0 guard.stall_timeout=5";
};

TEST_F(FaultTest, AKilledRankEndsTheJob) {
  const JobOutcome outcome = run(4, kLong, rank_one_does("kill -9 $$"));
  EXPECT_NE(outcome.code, 0);
  EXPECT_LT(outcome.seconds, 30);
  EXPECT_THAT(outcome.err, testing::AnyOf(HasSubstr("rank 1"), HasSubstr("PID")));
  EXPECT_EQ(orphans(), 0);
}

TEST_F(FaultTest, AStoppedRankIsNamed) {
  const JobOutcome outcome = run(4, kLong, rank_one_does("kill -STOP $$"));
  EXPECT_EQ(outcome.code, 8) << outcome.err;
  EXPECT_LT(outcome.seconds, 30);
  EXPECT_EQ(outcome.errors(), 1u) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("rank 1"));
  EXPECT_EQ(orphans(), 0);
}

TEST_F(FaultTest, ARankWithOtherArgumentsIsNamed) {
  std::ofstream(folder_ / "start.sh")
      << "#!/bin/sh\n"
         "if [ \"$OMPI_COMM_WORLD_RANK\" = 2 ]; then exec \"$@\" optimizer.lr=1e-2; fi\n"
         "exec \"$@\"\n";
  std::filesystem::permissions(folder_ / "start.sh", std::filesystem::perms::owner_all);
  const JobOutcome outcome = run(4, "train job.toml", "./start.sh");
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_EQ(outcome.errors(), 1u) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("same configuration"));
  EXPECT_THAT(outcome.err, HasSubstr("rank 2"));
  EXPECT_THAT(outcome.err, HasSubstr("lr = "));
}

TEST_F(FaultTest, ARankWithOtherDataIsNamed) {
  // The same name, another text: rank 3 stands in a folder of its own.
  std::filesystem::create_directories(folder_ / "elsewhere");
  std::filesystem::copy(folder_ / "job.toml", folder_ / "elsewhere/job.toml");
  std::ofstream text(folder_ / "elsewhere/text.txt");
  for (int i = 0; i < 1500; ++i) text << "another verse " << i << "\n";
  text.close();
  std::ofstream(folder_ / "start.sh")
      << "#!/bin/sh\n"
         "if [ \"$OMPI_COMM_WORLD_RANK\" = 3 ]; then cd elsewhere; fi\nexec \"$@\"\n";
  std::filesystem::permissions(folder_ / "start.sh", std::filesystem::perms::owner_all);
  const JobOutcome outcome = run(4, "train job.toml", "./start.sh");
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_EQ(outcome.errors(), 1u) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("same training data"));
  EXPECT_THAT(outcome.err, HasSubstr("rank 3"));
}

TEST_F(FaultTest, ARankWithAnotherBuildIsNamed) {
  // One byte behind the program's end changes what it is, not what it does.
  std::filesystem::copy(STRATA_PROGRAM, folder_ / "other");
  std::ofstream(folder_ / "other", std::ios::app | std::ios::binary) << 'x';
  std::ofstream(folder_ / "start.sh")
      << "#!/bin/sh\n"
         "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then shift; exec ./other \"$@\"; fi\n"
         "exec \"$@\"\n";
  std::filesystem::permissions(folder_ / "start.sh", std::filesystem::perms::owner_all);
  const JobOutcome outcome = run(2, "train job.toml", "./start.sh");
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_EQ(outcome.errors(), 1u) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("same build"));
  EXPECT_THAT(outcome.err, HasSubstr("rank 1"));
}

TEST_F(FaultTest, AllRanksSaveAtTheSameStepWhenOneIsAsked) {
  const JobOutcome outcome = run(2, kLong, rank_one_does("kill -USR1 $$"));
  EXPECT_EQ(outcome.code, 85) << outcome.err;
  EXPECT_EQ(outcome.errors(), 0u) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("saved after step"));
}

}  // namespace
}  // namespace strata
