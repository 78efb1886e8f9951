// SPDX-License-Identifier: Apache-2.0
// Fine-tuning as users do it: a Hugging Face folder in, a configuration made of it, training on some ranks, a
// Hugging Face folder out.
#include <gmock/gmock.h>

#include "tests/launch/ranks/job_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

class FromModel : public JobTest {
 protected:
  static constexpr const char* kBrief =
      " run.steps=2 run.threads=1 schedule.warmup=1 data.seq_len=16 batch.tokens_per_step=256 "
      "batch.micro_batch=2 eval.every=0 log.tensorboard=false ";

  void SetUp() override {
    JobTest::SetUp();
    ASSERT_EQ(run(0, "train job.toml run.out=first model.tied=false model.kv_heads=2").code, 0)
        << read(".err");
    ASSERT_EQ(run(0, "convert first model --to hf").code, 0) << read(".err");
    const JobOutcome init = run(0, "init --from model --data text.txt -o tuned.toml");
    ASSERT_EQ(init.code, 0) << init.err;
  }
};

TEST_F(FromModel, WeightsComeInAndGoOutAsTheyAre) {
  const JobOutcome train = run(
      0, "train tuned.toml run.out=tuned precision.compute=fp32 optimizer.lr=1e-30" + std::string(kBrief));
  ASSERT_EQ(train.code, 0) << train.err;
  EXPECT_THAT(train.out, HasSubstr("begun with model"));
  EXPECT_LT(losses("tuned")[0], losses("first").back() + 0.2);  // not random ones
  ASSERT_EQ(run(0, "convert tuned out --to hf").code, 0) << read(".err");
  const JobOutcome diff = run(0, "diff model out");
  EXPECT_EQ(diff.code, 0) << diff.out;
}

// A folder whose linear layers are 8-bit codes with factors begins a run as the numbers that they stand for.
TEST_F(FromModel, WeightsOfEightBitsComeIn) {
  ASSERT_EQ(run(0, "convert model codes --to hf --dtype fp8").code, 0) << read(".err");
  EXPECT_THAT(read("codes/config.json"), HasSubstr("\"weight_block_size\""));
  const JobOutcome train =
      run(0, "train tuned.toml model.from=codes run.out=tuned precision.compute=fp32 optimizer.lr=1e-30" +
                 std::string(kBrief));
  ASSERT_EQ(train.code, 0) << train.err;
  ASSERT_EQ(run(0, "convert codes numbers").code, 0) << read(".err");
  EXPECT_THAT(read(".out"), HasSubstr("e4m3 with a factor for 128x128 weights"));
  ASSERT_EQ(run(0, "convert tuned out --to hf --dtype bf16").code, 0) << read(".err");
  ASSERT_EQ(run(0, "convert numbers rounded --to hf --dtype bf16").code, 0) << read(".err");
  EXPECT_THAT(read("rounded/config.json"), testing::Not(HasSubstr("quantization_config")));
  EXPECT_EQ(run(0, "diff rounded out").code, 0) << read(".out");
  EXPECT_EQ(run(0, "diff model out").code, 1);
}

TEST_F(FromModel, EveryLayoutBeginsWithTheSameWeights) {
  const std::string keys = "train tuned.toml precision.compute=fp32" + std::string(kBrief);
  ASSERT_EQ(run(0, keys + "run.out=one").code, 0) << read(".err");
  ASSERT_EQ(run(4, keys + "run.out=four parallel.tp=2 parallel.pp=2").code, 0) << read(".err");
  EXPECT_NEAR(losses("four")[0], losses("one")[0], 1e-6 * losses("one")[0]);
  ASSERT_EQ(run(0, keys + "run.out=halves precision.compute=bf16 precision.state=split").code, 0)
      << read(".err");
  EXPECT_NEAR(losses("halves")[0], losses("one")[0], 1e-3 * losses("one")[0]);
}

TEST_F(FromModel, ARunThatGoesOnTakesItsOwnCheckpoint) {
  const std::string keys = "train tuned.toml run.out=tuned schedule.type=constant" + std::string(kBrief);
  ASSERT_EQ(run(0, keys).code, 0) << read(".err");
  const JobOutcome rest = run(0, keys + "run.steps=3");
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.out, HasSubstr("resuming after step 2"));
}

// What comes with a model goes on with it: also when the folder it came from is gone.
TEST_F(FromModel, ItsTokenizerTravelsAlong) {
  std::filesystem::copy_file(STRATA_SOURCE_DIR "/tests/golden/tokenizers/smollm2.json",
                             folder_ / "model" / "tokenizer.json");
  const JobOutcome init = run(0, "init --from model --data text.txt -o told.toml");
  ASSERT_EQ(init.code, 0) << init.err;
  const std::string keys = "train told.toml model.from= model.vocab=0 run.out=told" + std::string(kBrief);
  ASSERT_EQ(run(0, keys).code, 0) << read(".err");
  ASSERT_EQ(run(0, "convert told out --to hf").code, 0) << read(".err");
  std::filesystem::rename(folder_ / "model", folder_ / "gone");
  const JobOutcome sample = run(0, "sample told --prompt 'verse 1' --tokens 4");
  EXPECT_EQ(sample.code, 0) << sample.err;
  EXPECT_THAT(sample.out, testing::StartsWith("verse 1"));
  EXPECT_EQ(read("out/tokenizer.json"), read("gone/tokenizer.json"));
}

TEST_F(FromModel, WrongModelsAreRefused) {
  const JobOutcome other = run(0, "train tuned.toml run.out=other model.layers=5" + std::string(kBrief));
  EXPECT_EQ(other.code, 4);
  EXPECT_THAT(other.err, HasSubstr("missing    layers.4.attention.query.weight (param) f32"));
  const JobOutcome nothing = run(0, "train tuned.toml run.out=nothing model.from=nix" + std::string(kBrief));
  EXPECT_EQ(nothing.code, 4);
  EXPECT_THAT(nothing.err, HasSubstr("there is no model to begin with"));
  EXPECT_EQ(run(0, "init --from text.txt -o none.toml").code, 4);
  EXPECT_EQ(run(0, "init tiny --from model -o none.toml").code, 2);
  EXPECT_EQ(run(0, "init").code, 2);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none.toml"));
}

}  // namespace
}  // namespace strata
