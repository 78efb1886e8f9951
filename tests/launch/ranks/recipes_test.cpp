// SPDX-License-Identifier: Apache-2.0
// 8-bit runs on several ranks as users start them: what they remember beside their state goes on under
// another layout.
#include <gmock/gmock.h>

#include "tests/launch/ranks/job_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

// Ordered mode: two steps under one layout and the rest under another are four steps of one rank, bit for
// bit, so that the history came along whole.
TEST_F(JobTest, HistoriesOfDelayedScalesGoOnOnAnotherLayout) {
  const std::string recipe =
      " precision.compute=fp8 precision.recipe=tensor-delayed schedule.type=constant eval.every=0 ";
  const std::string ordered = recipe + "run.mode=ordered ";
  ASSERT_EQ(run(0, "train job.toml run.out=steady" + ordered).code, 0) << read(".err");
  ASSERT_EQ(run(2, "train job.toml run.out=cut run.steps=2 parallel.partition=zero3" + ordered).code, 0)
      << read(".err");
  const JobOutcome rest =
      run(4, "train job.toml run.out=cut run.steps=4 parallel.pp=2 parallel.partition=zero2" + ordered);
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.out, HasSubstr("resuming after step 2"));
  EXPECT_THAT(rest.out, testing::Not(HasSubstr("begin anew")));
  EXPECT_EQ(losses("cut"), losses("steady"));

  const JobOutcome shown = run(0, "inspect cut --tensors");
  EXPECT_THAT(shown.out, HasSubstr("layers.3.mlp.gate_up (amax) f32 [2, 4]"));
  EXPECT_THAT(run(0, "diff cut steady").out, HasSubstr(" 0 differ"));
  EXPECT_EQ(run(0, "verify cut").code, 0);
  const JobOutcome other = run(0, "diff cut/checkpoints/step-00000002 steady");
  EXPECT_THAT(other.out, HasSubstr("layers.0.attention.qkv (amax) f32 [2, 2]: is"));

  // Shares of layers have one history, the largest of all, that a rank with whole layers goes on with.
  ASSERT_EQ(run(2, "train job.toml run.out=shares run.steps=2 parallel.tp=2" + recipe).code, 0)
      << read(".err");
  ASSERT_EQ(run(0, "train job.toml run.out=shares run.steps=3" + recipe).code, 0) << read(".err");
  EXPECT_THAT(run(0, "inspect shares --tensors").out, HasSubstr("layers.3.mlp.gate_up (amax) f32 [2, 3]"));
  // Other programs have no place for it.
  for (const std::string format : {"hf", "dcp"}) {
    const JobOutcome made = run(0, "convert cut " + format + " --to " + format);
    EXPECT_EQ(made.code, 0) << made.err;
    EXPECT_THAT(made.out, HasSubstr("histories of delayed scales, 'amax': 16 tensors"));
  }
}

// Ranks that share weights send each other codes of them: half the bytes, no other bits.
TEST_F(JobTest, WeightsTravelAsCodes) {
  const std::string run_of =
      "train job.toml precision.compute=fp8 eval.every=0 parallel.partition=zero3 run.out=";
  ASSERT_EQ(run(2, run_of + "values").code, 0) << read(".err");
  ASSERT_EQ(run(2, run_of + "codes precision.gather=fp8").code, 0) << read(".err");
  EXPECT_EQ(losses("codes"), losses("values"));
  EXPECT_EQ(losses("codes").size(), 4u);
}

}  // namespace
}  // namespace strata
