// SPDX-License-Identifier: Apache-2.0
// launch/run.sh: a job that loses a rank goes on by itself, on fewer ranks, from its newest checkpoint.
#include <gmock/gmock.h>

#include "tests/launch/ranks/job_run.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::Not;

class RelaunchTest : public JobTest {
 protected:
  // Every rank is started through a script that kills rank 1 the first time the newest checkpoint is there.
  JobOutcome relaunch(const std::string& arguments, const std::string& killer) {
    std::ofstream(folder_ / "strata") << "#!/bin/bash\n"
                                         "if [ \"$1\" = train ] && [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then\n"
                                      << killer << "fi\nexec '" STRATA_PROGRAM "' \"$@\"\n";
    std::filesystem::permissions(folder_ / "strata", std::filesystem::perms::owner_all);
    const std::string command = "cd '" + folder_.string() +
                                "' && STRATA=./strata MPIRUN='" STRATA_MPIRUN
                                "' timeout -k 5 100 '" STRATA_RUN_SH "' " +
                                arguments + " >.out 2>.err </dev/null";
    const int status = std::system(command.c_str());
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1, .out = read(".out"), .err = read(".err")};
  }
  static constexpr const char* kOnce =
      "  if mkdir once 2>/dev/null; then\n"
      "    ( until ls -d runs/job/checkpoints/step-*[0-9] >/dev/null 2>&1; do sleep 0.05; done; kill -9 $$ ) "
      "&\n"
      "  fi\n";
  static constexpr const char* kJob =
      "job.toml run.out=runs/job run.steps=40 checkpoint.every=8 eval.every=0 parallel.tp=2";
};

TEST_F(RelaunchTest, GoesOnOnFewerRanks) {
  const JobOutcome outcome = relaunch(std::string("-n 4 ") + kJob, kOnce);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("run.sh: the job lost a rank"));
  EXPECT_THAT(outcome.err, HasSubstr("restart 1 of 10: 2 ranks on 3 slots, parallel.pp=1 parallel.dp=1"));
  EXPECT_EQ(losses("runs/job").size(), 40u);
  // The numbers of a run that nothing happened to; fewer ranks add up in another order.
  ASSERT_EQ(run(4, "train job.toml run.out=runs/whole run.steps=40 eval.every=0 parallel.tp=2").code, 0);
  const std::vector<double> expected = losses("runs/whole"), found = losses("runs/job");
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 2e-4) << "step " << i + 1;
}

TEST_F(RelaunchTest, AFaultThatWouldComeAgainEndsTheJob) {
  const JobOutcome outcome = relaunch(std::string("-n 2 ") + kJob + " data.train='[\"none.txt\"]'", "  :\n");
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_THAT(outcome.err, Not(HasSubstr("restart")));
}

TEST_F(RelaunchTest, GivesUpWhenRestartsAreOver) {
  const JobOutcome outcome =
      relaunch(std::string("-n 4 --restarts 1 ") + kJob, "  ( sleep 1; kill -9 $$ ) &\n  sleep 5\n");
  EXPECT_NE(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("and 1 restarts are over"));
}

}  // namespace
}  // namespace strata
