// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/launcher_environment.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace strata {
namespace {

using Variables = std::map<std::string, std::string>;

ReadVariable from(const Variables& variables) {
  return [&variables](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

TEST(LauncherEnvironment, NothingMeansAlone) {
  const Variables none;
  EXPECT_FALSE(started_by_launcher(from(none)));
  EXPECT_EQ(contradiction(launcher_claims(from(none)), 0, 1), std::nullopt);
}

TEST(LauncherEnvironment, EveryLauncherIsKnown) {
  const Variables cases[] = {
      {{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}},
      {{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}},
      {{"MV2_COMM_WORLD_RANK", "3"}, {"MV2_COMM_WORLD_SIZE", "4"}},
      {{"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_STEP_ID", "0"}},
  };
  for (const Variables& variables : cases) {
    EXPECT_TRUE(started_by_launcher(from(variables)));
    const auto claims = launcher_claims(from(variables));
    ASSERT_EQ(claims.size(), 1U);
    EXPECT_EQ(claims[0].rank, 3);
    EXPECT_EQ(claims[0].size, 4);
    EXPECT_EQ(contradiction(claims, 3, 4), std::nullopt);
    EXPECT_NE(contradiction(claims, 0, 1), std::nullopt) << "MPI that every process believes to be alone in";
    EXPECT_NE(contradiction(claims, 2, 4), std::nullopt);
  }
}

TEST(LauncherEnvironment, ABatchScriptIsNotAStepOfManyTasks) {
  const Variables batch = {{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "64"}, {"SLURM_STEP_NUM_TASKS", "1"}};
  EXPECT_FALSE(started_by_launcher(from(batch)));
}

TEST(LauncherEnvironment, MpirunUnderSrunCountsFirst) {
  const Variables both = {{"SLURM_PROCID", "0"},
                          {"SLURM_STEP_NUM_TASKS", "1"},
                          {"SLURM_STEP_ID", "0"},
                          {"OMPI_COMM_WORLD_RANK", "5"},
                          {"OMPI_COMM_WORLD_SIZE", "8"}};
  EXPECT_TRUE(started_by_launcher(from(both)));
  EXPECT_EQ(contradiction(launcher_claims(from(both)), 5, 8), std::nullopt);
}

TEST(LauncherEnvironment, WhatIsNotANumberIsNotAClaim) {
  const Variables odd = {{"PMI_RANK", "zero"}, {"PMI_SIZE", "4"}};
  EXPECT_TRUE(launcher_claims(from(odd)).empty());
}

}  // namespace
}  // namespace strata
