// SPDX-License-Identifier: Apache-2.0
// Direct preference optimization as users run it: from records to a model that prefers what was chosen, whole
// or through adapters; the reference is the model that a run begins with, also when it goes on.
#include <gmock/gmock.h>

#include <cmath>

#include "tests/launch/program_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

class PreferenceRun : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::string text, texts, chats;
    for (int i = 0; i < 120; ++i) {
      const std::string n = std::to_string(i);
      text += "verse " + n + ": and " + std::to_string(i * i % 97) + " begat.\n";
      texts += R"({"prompt": "q)" + n + R"( ", "chosen": "yes it is", "rejected": "no way"})" + "\n";
      chats +=
          R"({"prompt": [{"role": "user", "content": "q)" + n +
          R"("}], "chosen": [{"role": "assistant", "content": "yes"}], "rejected": [{"role": "assistant", )" +
          R"("content": "never"}]})" + "\n";
    }
    write("my.txt", text);
    write("texts.jsonl", texts);
    write("chats.jsonl", chats);
    write("base.toml", toml("base", "my.txt", 1) + "[model]\n" + kSizes);
    ASSERT_EQ(run("train base.toml data.valid_fraction=0").code, 0) << read(".err");
    ASSERT_EQ(run("convert runs/base hf").code, 0) << read(".err");
  }
  static constexpr const char* kSizes = "layers = 2\nhidden = 32\nheads = 4\nffn = 64\nmax_positions = 256\n";
  static std::string toml(const std::string& name, const std::string& data, int steps) {
    return "[run]\nname = \"" + name + "\"\nsteps = " + std::to_string(steps) +
           "\nthreads = 1\n[data]\ntrain = [\"" + data +
           "\"]\nseq_len = 96\n[batch]\ntokens_per_step = 768\nmicro_batch = 2\n[log]\nevery = "
           "1\n[eval]\nevery = 0\n"
           "[schedule]\nwarmup = 0\n";
  }
  void preference(const std::string& name, const std::string& data, int steps, const std::string& more = "") {
    std::string text = toml(name, data, steps);
    text.insert(text.find("seq_len"),
                "packing = \"pairs\"\nchat_template = \"chatml\"\nvalid_fraction = 0.2\n");
    write(name + ".toml", text + "[model]\nfrom = \"hf\"\n" + kSizes +
                              "[loss]\nkind = \"dpo\"\n[optimizer]\nlr = 3e-3\n" + more);
  }
};

TEST_F(PreferenceRun, LearnsWhatWasChosen) {
  for (const std::string data : {"texts", "chats"}) {
    preference(data, data + ".jsonl", 25);
    const Outcome outcome = run("train " + data + ".toml data.seq_len=192");
    ASSERT_EQ(outcome.code, 0) << outcome.err << outcome.out;
    EXPECT_THAT(outcome.out, HasSubstr("pairs of responses"));
    const std::vector<double> loss = losses(data);
    ASSERT_EQ(loss.size(), 25u);
    // The first step is the reference's own: nothing is preferred yet, to the rounding of bf16 and f32 sums.
    EXPECT_NEAR(loss[0], std::log(2.0), 1e-4);
    EXPECT_LT(loss.back(), 0.3) << "the chosen one is not preferred";
    // What was held back is told apart as well.
    const size_t at = outcome.out.find("validation loss ");
    ASSERT_NE(at, std::string::npos);
    EXPECT_LT(std::stod(outcome.out.substr(at + 16)), 0.3);
  }
}

TEST_F(PreferenceRun, AdaptersAreComparedWithTheModelBesideThem) {
  preference("lora", "texts.jsonl", 25, "[adapter]\ntype = \"lora\"\nrank = 4\n");
  ASSERT_EQ(run("train lora.toml").code, 0) << read(".err");
  EXPECT_NEAR(losses("lora")[0], std::log(2.0), 1e-4);
  EXPECT_LT(losses("lora").back(), 0.6);
}

// The reference is not the model as it is when the run goes on: it comes from the file, or is worked out
// again.
TEST_F(PreferenceRun, GoesOnBitForBit) {
  preference("whole", "texts.jsonl", 8);
  ASSERT_EQ(run("train whole.toml").code, 0) << read(".err");
  preference("parts", "texts.jsonl", 8);
  ASSERT_EQ(run("train parts.toml run.steps=4 schedule.type=constant").code, 0) << read(".err");
  ASSERT_EQ(run("train parts.toml run.steps=8 schedule.type=constant").code, 0) << read(".err");
  const std::vector<double> parts = losses("parts");
  ASSERT_EQ(run("train parts.toml run.steps=4 schedule.type=constant run.out=runs/again").code, 0)
      << read(".err");
  std::filesystem::remove(folder_ / "runs/again/reference.bin");
  const Outcome again = run("train parts.toml run.steps=8 schedule.type=constant run.out=runs/again");
  ASSERT_EQ(again.code, 0) << read(".err");
  EXPECT_THAT(again.out, HasSubstr("by the model that the run begins with"));
  EXPECT_EQ(losses("again"), parts);
  ASSERT_EQ(run("train parts.toml run.steps=8 schedule.type=constant run.out=runs/once").code, 0)
      << read(".err");
  EXPECT_EQ(losses("once"), parts);
}

TEST_F(PreferenceRun, RanksOfAllKindsStartAtTheSameLoss) {
  if (*STRATA_MPIRUN == 0) GTEST_SKIP() << "no MPI";
  preference("one", "texts.jsonl", 3, "[precision]\ncompute = \"fp32\"\n");
  ASSERT_EQ(run("train one.toml").code, 0) << read(".err");
  for (const std::string layout : {"parallel.dp=2", "parallel.tp=2", "parallel.pp=2"}) {
    const std::string name = layout.substr(9, 2);
    const Outcome outcome =
        shell(STRATA_MPIRUN " -n 2 '" STRATA_PROGRAM "' train one.toml batch.micro_batch=1 run.name=" + name +
              " " + layout);
    ASSERT_EQ(outcome.code, 0) << layout << outcome.err;
    const std::vector<double> one = losses("one"), other = losses(name);
    ASSERT_EQ(other.size(), 3u);
    for (size_t i = 0; i < 3; ++i)
      EXPECT_NEAR(other[i], one[i], 2e-5 * (1 + static_cast<double>(i) * 50)) << layout << " " << i;
  }
}

TEST_F(PreferenceRun, WrongInputs) {
  preference("wrong", "texts.jsonl", 3);
  const auto refused = [&](const std::string& words, int code, const std::string& text) {
    const Outcome outcome = run("train wrong.toml " + words);
    EXPECT_EQ(outcome.code, code) << words << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(text)) << words;
  };
  refused("data.packing=best_fit", 2, "preferences are learned from pairs of responses");
  refused("loss.kind=cross_entropy", 2, "pairs of responses are for preferences");
  refused("model.from=", 2, "relative to a model");
  refused("'data.train=[\"my.txt\"]'", 3, "a response has no partner");
  refused("data.seq_len=8 batch.tokens_per_step=16", 3, "raise data.seq_len");
  write("same.jsonl", R"({"prompt": "q", "chosen": "a", "rejected": "a"})"
                      "\n");
  refused("'data.train=[\"same.jsonl\"]'", 3, "the two responses of a preference are the same");
  write("none.jsonl", R"({"chosen": "a", "rejected": "b"})"
                      "\n");
  refused("'data.train=[\"none.jsonl\"]'", 3, "a preference has no prompt");
}

}  // namespace
}  // namespace strata
