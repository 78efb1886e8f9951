// SPDX-License-Identifier: Apache-2.0
// `mpirun strata train`: layouts give the loss of one rank, a run goes on on another layout, and what cannot
// be is refused once.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/launch/ranks/job_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

TEST_F(JobTest, EightRanksHaveTheFirstLossOfOne) {
  ASSERT_EQ(run(0, "train job.toml run.out=one").code, 0) << read(".err");
  const JobOutcome job = run(8, "train job.toml run.out=eight parallel.dp=2 parallel.tp=2 parallel.pp=2");
  ASSERT_EQ(job.code, 0) << job.err;
  EXPECT_THAT(job.out, HasSubstr("ranks      8 = pp 2 x dp 2 x cp 1 x tp 2"));
  const auto one = losses("one"), eight = losses("eight");
  ASSERT_EQ(eight.size(), 4u);
  EXPECT_NEAR(eight[0], one[0], 1e-6 * one[0]);
  EXPECT_NEAR(eight[3], one[3], 1e-5 * one[3]);
}

TEST_F(JobTest, OrderedModeHasTheSameBitsOnEveryNumberOfRanks) {
  ASSERT_EQ(run(0, "train job.toml run.out=one run.mode=ordered").code, 0) << read(".err");
  ASSERT_EQ(run(4, "train job.toml run.out=four run.mode=ordered parallel.partition=zero3").code, 0)
      << read(".err");
  ASSERT_EQ(run(4, "train job.toml run.out=pipe run.mode=ordered parallel.pp=2 parallel.schedule=zb-h1").code,
            0)
      << read(".err");
  EXPECT_EQ(losses("four"), losses("one"));
  EXPECT_EQ(losses("pipe"), losses("one"));
}

TEST_F(JobTest, ARunGoesOnOnAnotherLayout) {
  ASSERT_EQ(run(0, "train job.toml run.out=whole run.mode=ordered").code, 0) << read(".err");
  ASSERT_EQ(run(2,
                "train job.toml run.out=cut run.mode=ordered run.steps=2 schedule.type=constant "
                "parallel.partition=zero3")
                .code,
            0)
      << read(".err");
  const JobOutcome rest =
      run(4,
          "train job.toml run.out=cut run.mode=ordered run.steps=4 schedule.type=constant "
          "parallel.pp=2 parallel.partition=zero2");
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.out, HasSubstr("resuming after step 2"));
  ASSERT_EQ(run(0, "train job.toml run.out=steady run.mode=ordered schedule.type=constant").code, 0)
      << read(".err");
  EXPECT_EQ(losses("cut"), losses("steady"));
  // What several ranks saved, one samples from.
  const JobOutcome sample = run(0, "sample cut --prompt verse --tokens 8");
  EXPECT_EQ(sample.code, 0) << sample.err;
  EXPECT_THAT(sample.out, testing::StartsWith("verse"));
}

// Moments that are kept as codes of whole blocks come apart and together again; updates wait for the next
// step.
TEST_F(JobTest, EightBitStateGoesOnOnAnotherLayout) {
  const std::string common =
      " run.mode=ordered precision.compute=bf16 precision.state=split8 schedule.type=constant";
  ASSERT_EQ(run(0, "train job.toml run.out=whole" + common).code, 0) << read(".err");
  const std::string cut = "train job.toml run.out=cut" + common;
  ASSERT_EQ(run(2, cut + " run.steps=2 parallel.partition=zero3").code, 0) << read(".err");
  ASSERT_EQ(run(4, cut + " run.steps=4 parallel.partition=1/2/4 offload.any_volume=true offload.moments=nvme "
                         "offload.gradients=host offload.timing=deferred")
                .code,
            0)
      << read(".err");
  EXPECT_EQ(losses("cut"), losses("whole"));
  const JobOutcome same = run(0, "diff whole cut");
  EXPECT_EQ(same.code, 0) << same.out;
  EXPECT_THAT(same.out, HasSubstr("0 differ"));
}

// Rows are packed and mixed by the data alone: every layout trains on the same ones, and goes on with them.
TEST_F(JobTest, PackedMixturesDoNotDependOnTheLayout) {
  std::ofstream records(folder_ / "pairs.jsonl");
  for (int i = 0; i < 200; ++i)
    records << R"({"prompt": "q)" << i % 7 << R"(", "completion": ")" << std::string(1 + i * i % 13, 'a')
            << "\"}\n";
  records.close();
  const std::string packed =
      " 'data.train=[\"text.txt\", \"pairs.jsonl\"]' 'data.weights=[1, 1]' data.packing=best_fit "
      "run.mode=ordered ";
  ASSERT_EQ(run(0, "train job.toml run.out=one" + packed).code, 0) << read(".err");
  ASSERT_EQ(run(4, "train job.toml run.out=four parallel.partition=zero3" + packed).code, 0) << read(".err");
  EXPECT_EQ(losses("four"), losses("one"));
  ASSERT_EQ(losses("one").size(), 4u);
  const std::string other = " run.mode=fast ";
  ASSERT_EQ(run(2, "train job.toml run.out=cp parallel.cp=2" + packed + other).code, 0) << read(".err");
  EXPECT_NEAR(losses("cp")[0], losses("one")[0], 1e-6 * losses("one")[0]);
  EXPECT_NEAR(losses("cp")[3], losses("one")[3], 1e-5 * losses("one")[3]);
  // Two steps on two ranks, the rest on one.
  ASSERT_EQ(run(2, "train job.toml run.out=cut run.steps=2 schedule.type=constant" + packed).code, 0)
      << read(".err");
  ASSERT_EQ(run(0, "train job.toml run.out=cut run.steps=4 schedule.type=constant" + packed).code, 0)
      << read(".err");
  ASSERT_EQ(run(0, "train job.toml run.out=steady schedule.type=constant" + packed).code, 0) << read(".err");
  EXPECT_EQ(losses("cut"), losses("steady"));
}

// The page that users read: its commands on ranks, each for two steps of the model of its recipe.
TEST_F(JobTest, TheCommandsOfTheReadmeRun) {
  ASSERT_EQ(run(0, "init tiny -o mine.toml").code, 0) << read(".err");
  std::ifstream page(STRATA_SOURCE_DIR "/README.md");
  int commands = 0;
  for (std::string line; std::getline(page, line);) {
    const bool plan = line.starts_with("strata plan mine.toml --ranks");
    if (!plan && !line.starts_with("mpirun -n ")) continue;
    const std::string arguments =
        line.substr(line.find("strata ") + 7, line.find(" #") - line.find("strata ") - 7);
    const int ranks = plan ? 0 : std::stoi(line.substr(10));
    const JobOutcome outcome =
        run(ranks,
            arguments +
                " 'data.train=[\"text.txt\"]' run.steps=2 schedule.warmup=0 schedule.decay=0 eval.every=0 " +
                "run.threads=1 run.out=readme-" + std::to_string(++commands));
    EXPECT_EQ(outcome.code, 0) << line << "\n" << outcome.err;
  }
  EXPECT_EQ(commands, 4);
}

TEST_F(JobTest, WhatAPlanPrintsCanBeRun) {
  const std::string layout = " parallel.pp=2 parallel.schedule=zb-h1 parallel.partition=zero3";
  const JobOutcome plan = run(0, "plan job.toml --ranks 4 --dump" + layout);
  ASSERT_EQ(plan.code, 0) << plan.err;
  std::ofstream(folder_ / "program.txt") << plan.out;
  ASSERT_EQ(run(4, "train job.toml run.out=made" + layout).code, 0) << read(".err");
  ASSERT_EQ(run(4, "train job.toml run.out=given run.program=program.txt" + layout).code, 0) << read(".err");
  EXPECT_EQ(losses("given"), losses("made"));
  // Without one message the ranks would wait for ever: it is found before anything runs.
  std::string text = plan.out;
  const size_t at = text.find("send ");
  text.erase(at, text.find('\n', at) + 1 - at);
  std::ofstream(folder_ / "program.txt") << text;
  const JobOutcome refused = run(4, "train job.toml run.out=refused run.program=program.txt" + layout);
  EXPECT_EQ(refused.code, 2) << refused.err;
  EXPECT_EQ(refused.errors(), 1u) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("receive "));
}

// Ordered mode gives the same bits on any data layout: so do the digests of what was saved.
TEST_F(JobTest, CheckpointsAreInspectedVerifiedAndCompared) {
  ASSERT_EQ(run(0, "train job.toml run.out=one run.mode=ordered run.steps=2 checkpoint.every=1").code, 0)
      << read(".err");
  ASSERT_EQ(run(2,
                "train job.toml run.out=two run.mode=ordered run.steps=2 checkpoint.every=1 "
                "parallel.partition=zero3")
                .code,
            0)
      << read(".err");
  const JobOutcome same = run(0, "diff one two");
  EXPECT_EQ(same.code, 0) << same.out;
  EXPECT_THAT(same.out, HasSubstr(" 0 differ"));
  const JobOutcome other = run(0, "diff one/checkpoints/step-00000001 two");
  EXPECT_EQ(other.code, 1) << other.err;
  EXPECT_THAT(other.out, HasSubstr("embedding.weight (m) f32"));
  EXPECT_THAT(other.out, HasSubstr("has other values"));

  const JobOutcome shown = run(0, "inspect two --tensors");
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("step        2"));
  EXPECT_THAT(shown.out, HasSubstr("2 of them shards"));
  EXPECT_THAT(shown.out, HasSubstr("embedding.weight"));
  EXPECT_EQ(run(0, "inspect two --json").code, 0);

  const JobOutcome whole = run(0, "verify two");
  EXPECT_EQ(whole.code, 0) << whole.out;
  EXPECT_THAT(whole.out, HasSubstr(": whole"));
  // One bit in the middle of a shard.
  std::fstream shard(folder_ / "two/checkpoints/step-00000002/shard-00001.h5",
                     std::ios::in | std::ios::out | std::ios::binary);
  shard.seekg(0, std::ios::end);
  const auto middle = shard.tellg() / 2;
  shard.seekg(middle);
  const char byte = static_cast<char>(shard.get());
  shard.seekp(middle);
  shard.put(static_cast<char>(byte ^ 4));
  shard.close();
  const JobOutcome damaged = run(0, "verify two");
  EXPECT_EQ(damaged.code, 4) << damaged.out;
  EXPECT_THAT(damaged.out, HasSubstr("shard-00001.h5"));
  EXPECT_THAT(damaged.out, HasSubstr("1 fault"));
  EXPECT_EQ(run(0, "verify nowhere").code, 4);
  const JobOutcome file = run(0, "verify two/checkpoints/step-00000002/manifest.json");
  EXPECT_EQ(file.code, 4);
  EXPECT_THAT(file.err, HasSubstr("name the folder: two/checkpoints/step-00000002"));
}

// Set-ups that cannot be: one message of one rank, soon, and every process ends with its exit code.
TEST_F(JobTest, WrongSetUpsAreRefusedOnce) {
  const struct {
    int ranks;
    std::string arguments;
    int code;
    std::vector<std::string> parts;
  } cases[] = {
      {3, "train job.toml parallel.tp=2", 2, {"ranks 3", "tp 2", "start 2 or 4 ranks"}},
      {3, "train job.toml parallel.tp=3", 2, {"heads 4"}},
      {3, "train job.toml parallel.pp=3", 2, {"layers 4"}},
      {4, "train job.toml parallel.cp=4 data.seq_len=20 batch.tokens_per_step=320", 2, {"seq_len"}},
      {4, "train job.toml parallel.pp=4 batch.tokens_per_step=64", 2, {"micro-batches"}},
      {2, "train job.toml parallel.pp=2 parallel.schedule=zb-h3", 2, {"zb-h3", "zb-h"}},
      {2, "train job.toml parallel.pp=2 parallel.schedule=none.txt", 2, {"none.txt", "parallel.schedule"}},
      {4, "train job.toml parallel.partition=3/3/3", 2, {"partition", "divides the next"}},
      {2, "train job.toml parallel.partition=zero9", 2, {"zero9"}},
      {2, "train job.toml run.mode=ordered parallel.tp=2", 2, {"ordered", "tp = 1"}},
      {2, "train job.toml run.mode=ordered batch.tokens_per_step=192", 2, {"ordered", "powers of two"}},
      {3, "train job.toml batch.tokens_per_step=256", 2, {"dp 3"}},
      {2, "train job.toml parallel.dp=4", 2, {"dp 4"}},
      {2, "train job.toml run.stpes=3", 2, {"unknown key run.stpes", "run.steps"}},
      {2, "train none.toml", 2, {"none.toml"}},
      {2, "train job.toml 'data.train=[\"none.txt\"]'", 3, {"none.txt"}},
      {2, "train job.toml parallel.ep=2", 2, {"experts are not available"}},
      {2, "train job.toml parallel.virtual_stages=2", 2, {"virtual_stages"}},
      {2, "train job.toml run.out=/proc/none", 2, {"/proc/none"}},
  };
  for (const auto& wrong : cases) {
    const JobOutcome outcome = run(wrong.ranks, wrong.arguments);
    EXPECT_EQ(outcome.code, wrong.code) << wrong.arguments << "\n" << outcome.err;
    EXPECT_EQ(outcome.errors(), 1u) << wrong.arguments << "\n" << outcome.err;
    EXPECT_LT(outcome.seconds, 30) << wrong.arguments;
    for (const std::string& part : wrong.parts) EXPECT_THAT(outcome.err, HasSubstr(part)) << wrong.arguments;
  }
}

}  // namespace
}  // namespace strata
