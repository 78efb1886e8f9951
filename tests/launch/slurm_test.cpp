// SPDX-License-Identifier: Apache-2.0
// The batch script of `strata slurm`, run by a shell with srun, sinfo and scontrol played by small scripts:
// what is started where, and what the job does about each way in which a step ends. (tests/slurm runs a real
// Slurm.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "launch/slurm/script.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string slurp(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class SlurmScript : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "strata-slurm-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    // The n-th step ends with the n-th code; every step's nodes and command are kept.
    program(
        "srun",
        "echo \"$@\" >>steps\necho >.strata-7\ncode=$(sed -n \"$(wc -l <steps)p\" codes)\nexit \"$code\"\n");
    program("scontrol",
            "case $1 in\n  show) printf 'n1\\nn2\\nn3\\n' ;;\n  *) echo \"$@\" >>scontrol.log ;;\nesac\n");
    program("sinfo", "for word; do case $word in --nodes=*) cat \"state.${word#--nodes=}\" ;; esac; done\n");
    program("sleep", "exit 0\n");
    for (const char* node : {"n1", "n2", "n3"}) state(node, "allocated");
    job_ = {.name = "run",
            .program = "/opt/strata",
            .arguments = {"run.toml", "data.train=[\"a b\"]"},
            .nodes = 2};
    job_.ranks_per_node = 4;
    job_.spare = 1;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void program(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << "#!/bin/bash\n" << text;
    std::filesystem::permissions(folder_ / name, std::filesystem::perms::owner_all);
  }
  void state(const std::string& node, const std::string& text) {
    std::ofstream(folder_ / ("state." + node)) << text << "\n";
  }
  // The exit code of the script when its steps end with `codes`.
  int run(const std::string& codes) {
    std::ofstream(folder_ / "codes") << codes;
    std::ofstream(folder_ / "job.sbatch") << slurm_script(job_);
    const std::string command = "cd '" + folder_.string() +
                                "' && PATH=\"$PWD:$PATH\" SLURM_JOB_ID=7 SLURM_JOB_NODELIST='n[1-3]' "
                                "timeout 20 bash job.sbatch >out 2>&1";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::filesystem::path folder_;
  SlurmJob job_;
};

TEST_F(SlurmScript, StartsAllRanksOnTheFirstNodes) {
  EXPECT_EQ(run("0\n"), 0) << slurp(folder_ / "out");
  const std::string script = slurm_script(job_);
  for (const char* line :
       {"--nodes=3\n", "--ntasks-per-node=4\n", "--signal=USR1@300\n", "--requeue\n", "--no-kill\n"})
    EXPECT_THAT(script, HasSubstr(std::string("#SBATCH ") + line));
  const std::string step = slurp(folder_ / "steps");
  EXPECT_THAT(step, HasSubstr("--nodes=2 --ntasks=8 --ntasks-per-node=4 --nodelist=n1,n2"));
  EXPECT_THAT(step, HasSubstr(" .strata-7 /opt/strata train run.toml data.train=[\"a b\"]\n"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "scontrol.log"));
}

TEST_F(SlurmScript, ASavedRunQueuesAgain) {
  EXPECT_EQ(run("85\n"), 85);
  EXPECT_EQ(slurp(folder_ / "scontrol.log"), "requeue 7\n");
}

TEST_F(SlurmScript, AFaultThatWouldComeAgainEndsTheJob) {
  for (const int code : {2, 3, 4, 5, 6, 7}) {
    std::filesystem::remove(folder_ / "steps");
    EXPECT_EQ(run(std::to_string(code) + "\n0\n"), code);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "scontrol.log"));
}

TEST_F(SlurmScript, ASpareNodeTakesThePlaceOfOneThatFailed) {
  program("srun",
          "echo \"$@\" >>steps\necho >.strata-7\n[ \"$(wc -l <steps)\" = 1 ] || exit 0\necho 'down*' "
          ">state.n1\nexit 137\n");
  EXPECT_EQ(run(""), 0) << slurp(folder_ / "out");
  EXPECT_THAT(slurp(folder_ / "steps"), HasSubstr("--nodelist=n2,n3"));
  EXPECT_THAT(slurp(folder_ / "out"), HasSubstr("node n1 is not used: down*"));
}

TEST_F(SlurmScript, QueuesAgainWhenTooFewNodesAnswer) {
  state("n1", "down*");
  state("n3", "drained");
  EXPECT_EQ(run("0\n"), 85);
  EXPECT_EQ(slurp(folder_ / "scontrol.log"), "requeue 7\n");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "steps"));
  EXPECT_THAT(slurp(folder_ / "out"), HasSubstr("2 nodes are needed and 1 answer"));
}

// As srun 22.05 does while the node still ends what ran there before.
TEST_F(SlurmScript, AStepThatWasNotLaunchedIsNotDone) {
  program("srun", "echo x >>steps\n[ \"$(wc -l <steps)\" = 1 ] || echo >.strata-7\n");
  EXPECT_EQ(run(""), 0);
  EXPECT_EQ(slurp(folder_ / "steps"), "x\nx\n");
  EXPECT_FALSE(std::filesystem::exists(folder_ / ".strata-7"));
}

TEST_F(SlurmScript, GivesUpAfterTenRestarts) {
  std::string codes;
  for (int i = 0; i < 20; ++i) codes += "8\n";
  EXPECT_EQ(run(codes), 8);
  const std::string steps = slurp(folder_ / "steps");
  EXPECT_EQ(std::count(steps.begin(), steps.end(), '\n'), 11);
}

TEST(ShellWord, ComesBackAsItWas) {
  for (const std::string word : {"plain", "", "a b", "it's", "$HOME", "a\nb", "\"x\"", "*", "run.lr=1e-3"}) {
    const std::string file = testing::TempDir() + "shell-word";
    ASSERT_EQ(std::system(("printf %s " + shell_word(word) + " >'" + file + "'").c_str()), 0);
    EXPECT_EQ(slurp(file), word);
  }
}

}  // namespace
}  // namespace strata
