// SPDX-License-Identifier: Apache-2.0
// Muon as users run it: it learns, goes on bit for bit, and data ranks that keep whole matrices do what one
// rank does.
#include <gmock/gmock.h>

#include "tests/launch/program_run.h"

namespace strata {
namespace {

class MuonRun : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::string text;
    for (int i = 0; i < 800; ++i)
      text += "verse " + std::to_string(i) + ": and " + std::to_string(i * i % 97) + " begat.\n";
    write("text.txt", text);
    write("run.toml", R"([run]
steps = 30
threads = 2
[model]
layers = 2
hidden = 32
heads = 4
ffn = 64
tied = false
[data]
train = ["text.txt"]
seq_len = 32
[batch]
tokens_per_step = 512
micro_batch = 4
[optimizer]
type = "muon"
lr = 1e-2
[schedule]
type = "constant"
[precision]
compute = "fp32"
[eval]
every = 0
[log]
every = 0
)");
  }
};

TEST_F(MuonRun, LearnsAndGoesOnBitForBit) {
  ASSERT_EQ(run("train run.toml run.name=whole").code, 0) << read(".err");
  const std::vector<double> whole = losses("whole");
  ASSERT_EQ(whole.size(), 30u);
  EXPECT_LT(whole.back(), 2.0) << "of 5.5 at the start";
  ASSERT_EQ(run("train run.toml run.name=parts run.steps=11 run.threads=1").code, 0) << read(".err");
  ASSERT_EQ(run("train run.toml run.name=parts").code, 0) << read(".err");
  EXPECT_EQ(losses("parts"), whole);
  // AdamW's own steps are others.
  ASSERT_EQ(run("train run.toml run.name=adamw run.steps=3 optimizer.type=adamw").code, 0) << read(".err");
  EXPECT_NE(losses("adamw")[2], whole[2]);
  for (const std::string more :
       {"precision.compute=bf16", "offload.moments=host offload.master=host", "parallel.recompute=full"})
    EXPECT_EQ(run("train run.toml run.steps=2 run.name=x" + std::to_string(more.size()) + " " + more).code, 0)
        << more << read(".err");
}

TEST_F(MuonRun, RanksWithWholeMatricesDoTheSame) {
  if (*STRATA_MPIRUN == 0) GTEST_SKIP() << "no MPI";
  ASSERT_EQ(run("train run.toml run.name=one run.steps=5").code, 0) << read(".err");
  for (const std::string layout : {"parallel.partition=ddp", "parallel.pp=2"}) {
    const std::string name = layout.substr(9, 2);
    const Outcome outcome =
        shell(STRATA_MPIRUN " -n 2 '" STRATA_PROGRAM "' train run.toml run.steps=5 run.name=" + name + " " +
              layout);
    ASSERT_EQ(outcome.code, 0) << layout << outcome.err;
    for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(losses(name)[i], losses("one")[i], 1e-4) << layout << " " << i;
  }
}

}  // namespace
}  // namespace strata
