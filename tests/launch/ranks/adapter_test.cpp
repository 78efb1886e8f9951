// SPDX-License-Identifier: Apache-2.0
// Adapters as users train them: a model in, adapters beside it on some ranks, a merged model or a folder of
// peft out.
#include <gmock/gmock.h>

#include "tests/launch/ranks/job_run.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::Not;

class Adapters : public JobTest {
 protected:
  static constexpr const char* kBrief =
      " run.threads=1 schedule.warmup=1 schedule.type=constant data.seq_len=16 batch.tokens_per_step=256 "
      "batch.micro_batch=2 eval.every=0 log.tensorboard=false precision.compute=fp32 optimizer.lr=1e-2 "
      "adapter.rank=4 adapter.alpha=8 ";
  // What is random, and what is trained beside adapters.
  static constexpr const char* kMore =
      " adapter.dropout=0.2 adapter.trained_whole='[\"lm_head\", \"embed_tokens\", \"norm\"]' ";

  void SetUp() override {
    JobTest::SetUp();
    ASSERT_EQ(run(0, "train job.toml run.out=first model.kv_heads=2 model.tied=false").code, 0)
        << read(".err");
    ASSERT_EQ(run(0, "convert first model --to hf").code, 0) << read(".err");
    ASSERT_EQ(run(0, "init --from model --data text.txt --lora -o tuned.toml").code, 0) << read(".err");
  }
  JobOutcome train(const std::string& keys, int ranks = 0) const {
    return run(ranks, "train tuned.toml" + std::string(kBrief) + keys);
  }
};

TEST_F(Adapters, MergedAndApartAreTheSame) {
  const JobOutcome trained = train("run.out=tuned run.steps=8");
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_THAT(trained.out, HasSubstr("of them trained"));
  EXPECT_LT(losses("tuned").back(), losses("tuned").front());
  const JobOutcome inspect = run(0, "inspect tuned");
  EXPECT_THAT(inspect.out, HasSubstr("param       56 tensors"));  // A and B of seven layers in four blocks
  const JobOutcome merge = run(0, "merge tuned merged");
  ASSERT_EQ(merge.code, 0) << merge.err;
  EXPECT_THAT(merge.out, HasSubstr("likeliest token is the same after 16"));
  // The same weights in another form are the same base. The merged model's loss is the run's.
  ASSERT_EQ(run(0, "merge tuned whole --to strata --base first").code, 0) << read(".err");
  const auto loss = [&](const std::string& path) {
    const std::string out = run(0, "eval " + path + " --data text.txt").out;
    return std::stod(out.substr(out.find("loss ") + 5));
  };
  EXPECT_NEAR(loss("whole"), loss("tuned"), 2e-4);
  EXPECT_LT(loss("tuned"), loss("first") - 0.01);
  EXPECT_EQ(run(0, "sample tuned --prompt 'verse 1' --tokens 4").code, 0) << read(".err");
  // What is trained on top of the merged model is a model again.
  EXPECT_EQ(run(0, "diff model merged").code, 1);
}

TEST_F(Adapters, EveryLayoutGoesOnWithThem) {
  ASSERT_EQ(train("run.out=plain run.steps=2").code, 0) << read(".err");
  ASSERT_EQ(train("run.out=one run.steps=2" + std::string(kMore)).code, 0) << read(".err");
  EXPECT_GT(std::abs(losses("plain")[1] - losses("one")[1]), 1e-3);
  ASSERT_EQ(train("run.out=two run.steps=2 parallel.tp=2" + std::string(kMore), 2).code, 0) << read(".err");
  EXPECT_NEAR(losses("two")[1], losses("one")[1], 1e-5 * losses("one")[1]);
  ASSERT_EQ(train("run.out=straight run.steps=4" + std::string(kMore)).code, 0) << read(".err");
  // The same bits when what forward made is made again, and after a restart.
  std::filesystem::copy(folder_ / "one", folder_ / "again", std::filesystem::copy_options::recursive);
  ASSERT_EQ(train("run.out=again run.steps=4 parallel.recompute=full" + std::string(kMore)).code, 0)
      << read(".err");
  EXPECT_EQ(losses("again"), losses("straight"));
  const char* const layouts[] = {"parallel.tp=2 parallel.sequence_parallel=true",
                                 "parallel.partition=zero3",
                                 "parallel.partition=zero1",
                                 "parallel.partition=1/2/2",
                                 "parallel.pp=2",
                                 "parallel.cp=2"};
  for (const std::string layout : layouts) {
    std::filesystem::remove_all(folder_ / "again");
    std::filesystem::copy(folder_ / "one", folder_ / "again", std::filesystem::copy_options::recursive);
    const JobOutcome more = train("run.out=again run.steps=4 " + layout + kMore, 2);
    ASSERT_EQ(more.code, 0) << layout << more.err;
    EXPECT_THAT(more.out, HasSubstr("resuming after step 2"));
    const std::vector<double> want = losses("straight"), got = losses("again");
    ASSERT_EQ(got.size(), 4U);
    for (size_t step = 2; step < 4; ++step) EXPECT_NEAR(got[step], want[step], 1e-5 * want[step]) << layout;
  }
}

TEST_F(Adapters, TravelAsPeftKeepsThem) {
  ASSERT_EQ(train("run.out=tuned run.steps=4 adapter.target='[\"q_proj\", \"mlp.*\"]'").code, 0)
      << read(".err");
  ASSERT_EQ(run(0, "convert tuned lora").code, 0) << read(".err");
  const auto config = nlohmann::json::parse(read("lora/adapter_config.json"));
  EXPECT_EQ(config.at("target_modules"), nlohmann::json({"down_proj", "gate_proj", "q_proj", "up_proj"}));
  EXPECT_EQ(config.at("r"), 4);
  EXPECT_EQ(config.at("lora_alpha"), 8);
  // Back again: the very same adapters, and a run that begins with them.
  ASSERT_EQ(run(0, "convert lora again").code, 0) << read(".err");
  ASSERT_EQ(run(0, "convert again lora2 --to peft").code, 0) << read(".err");
  EXPECT_EQ(run(0, "diff lora lora2").code, 0) << read(".out");
  const std::string keys = "run.steps=1 adapter.target='[\"q_proj\", \"mlp.*\"]' ";
  ASSERT_EQ(train("run.out=on adapter.from=lora " + keys).code, 0) << read(".err");
  ASSERT_EQ(train("run.out=new " + keys).code, 0) << read(".err");
  EXPECT_LT(losses("on")[0], losses("new")[0] - 1e-4);
  EXPECT_NEAR(losses("new")[0], losses("tuned")[0], 1e-9);  // B is zero: the model itself
  // Two ways to the same model.
  ASSERT_EQ(run(0, "merge lora a --base model").code, 0) << read(".err");
  ASSERT_EQ(run(0, "merge tuned b").code, 0) << read(".err");
  EXPECT_EQ(run(0, "diff a b").code, 0) << read(".out");
}

// The head and the embedding learn, too, and go wherever the adapters go.
TEST_F(Adapters, LayersTrainedWholeTravelWithThem) {
  const std::string keys = std::string(kMore) + "adapter.target='[\"q_proj\"]' ";
  ASSERT_EQ(train("run.out=tuned run.steps=4" + keys).code, 0) << read(".err");
  EXPECT_THAT(run(0, "inspect tuned").out, HasSubstr("param       11 tensors"));  // four pairs and three
  ASSERT_EQ(run(0, "convert tuned lora").code, 0) << read(".err");
  const auto config = nlohmann::json::parse(read("lora/adapter_config.json"));
  EXPECT_EQ(config.at("modules_to_save"), nlohmann::json({"lm_head", "model.embed_tokens", "model.norm"}));
  EXPECT_EQ(config.at("target_modules"), nlohmann::json({"q_proj"}));
  EXPECT_EQ(config.at("lora_dropout"), 0.2);
  EXPECT_THAT(read("lora/adapter_model.safetensors"), HasSubstr("\"base_model.model.lm_head.weight\""));
  ASSERT_EQ(run(0, "convert lora again").code, 0) << read(".err");
  ASSERT_EQ(run(0, "convert again lora2 --to peft").code, 0) << read(".err");
  EXPECT_EQ(run(0, "diff lora lora2").code, 0) << read(".out");
  ASSERT_EQ(train("run.out=on adapter.from=lora run.steps=1" + keys).code, 0) << read(".err");
  EXPECT_LT(losses("on")[0], losses("tuned")[0] - 0.01);
  const JobOutcome merge = run(0, "merge tuned a");
  ASSERT_EQ(merge.code, 0) << merge.err;
  EXPECT_THAT(merge.out, HasSubstr("trained whole: 3 tensors"));
  ASSERT_EQ(run(0, "merge lora b --base model").code, 0) << read(".err");
  EXPECT_EQ(run(0, "diff a b").code, 0) << read(".out");
  const auto loss = [&](const std::string& path) {
    const std::string out = run(0, "eval " + path + " --data text.txt").out;
    return std::stod(out.substr(out.find("loss ") + 5));
  };
  ASSERT_EQ(run(0, "merge tuned whole --to strata --base first").code, 0) << read(".err");
  EXPECT_NEAR(loss("whole"), loss("tuned"), 2e-4);
  // What is not trained whole here, and what is no layer.
  EXPECT_THAT(train("run.out=x adapter.from=lora run.steps=1 adapter.target='[\"q_proj\"]'").err,
              HasSubstr("head.weight"));
  EXPECT_THAT(train("run.out=x run.steps=1 adapter.trained_whole='[\"lm_haed\"]'").err,
              HasSubstr("adapter.trained_whole"));
  EXPECT_THAT(train("run.out=x run.steps=1 adapter.trained_whole='[\"up_proj\"]'").err,
              HasSubstr("one matrix"));
}

TEST_F(Adapters, WhatDoesNotFitIsRefused) {
  ASSERT_EQ(train("run.out=tuned run.steps=1").code, 0) << read(".err");
  const auto refused = [&](const JobOutcome& outcome, int code, const char* text) {
    EXPECT_EQ(outcome.code, code) << text;
    EXPECT_THAT(outcome.err, HasSubstr(text));
  };
  refused(train("run.out=x run.steps=1 adapter.target='[\"q_porj\"]'"), 2, "no layer of the model");
  refused(train("run.out=x run.steps=1 model.from="), 2, "beside a model that somebody trained");
  refused(train("run.out=x run.steps=1 optimizer.frozen='[\"layers.0.*\"]'"), 2, "nothing to choose");
  refused(train("run.out=x run.steps=1 model.from=tuned"), 4, "adapters beside a model, not a model");
  refused(train("run.out=x run.steps=1 adapter.from=model"), 4, "holds no adapters");
  refused(train("run.out=x run.steps=1 adapter.from=tuned adapter.alpha=16"), 4, "another rank or scale");
  refused(run(0, "convert tuned out --to hf"), 2, "strata merge");
  refused(run(0, "convert first out --to peft"), 2, "no adapters in this");
  refused(run(0, "merge first out"), 4, "no adapters in this");
  // Another model in the place of theirs.
  ASSERT_EQ(run(0, "train job.toml run.out=other run.seed=5 model.kv_heads=2 model.tied=false").code, 0);
  ASSERT_EQ(run(0, "convert other model2 --to hf").code, 0);
  std::filesystem::rename(folder_ / "model", folder_ / "gone");
  refused(run(0, "merge tuned out"), 4, "is not there");
  std::filesystem::rename(folder_ / "model2", folder_ / "model");
  refused(run(0, "merge tuned out"), 4, "not the one that the adapters were trained beside");
  refused(run(0, "sample tuned --prompt verse"), 4, "not the one that the adapters were trained beside");
  refused(train("run.out=tuned run.steps=2"), 4, "not the one that the adapters were trained beside");
  EXPECT_EQ(run(0, "merge tuned out --base gone").code, 0) << read(".err");
}

// Rules about what is loaded: those of the model for the model, those of the adapters for them.
TEST_F(Adapters, LoadingRulesGoWhereTheyBelong) {
  ASSERT_EQ(train("run.out=tuned run.steps=2").code, 0) << read(".err");
  ASSERT_EQ(run(0, "convert tuned lora").code, 0) << read(".err");
  ASSERT_EQ(run(0, "convert model odd --to strata").code, 0) << read(".err");
  // Adapters of another layer's name, and one that is not there.
  const std::string rules =
      " run.steps=1 adapter.from=lora model.from=odd 'checkpoint.reinit=[\"layers.0.mlp.up.weight\", "
      "\"layers.1.mlp.up.lora_a\"]' ";
  const JobOutcome some = train("run.out=some" + rules);
  ASSERT_EQ(some.code, 0) << some.err;
  EXPECT_THAT(some.out, HasSubstr("begin anew: 2 tensors"));
  EXPECT_GT(std::abs(losses("some")[0] - losses("tuned")[0]), 1e-6);
  const JobOutcome more = train("run.out=some" + rules + " run.steps=2");  // goes on: they were applied
  EXPECT_EQ(more.code, 0) << more.err;
  EXPECT_THAT(train("run.out=x run.steps=1 adapter.from=lora 'checkpoint.reinit=[\"nothing\"]'").err,
              HasSubstr("reinit 'nothing' applies to nothing"));
  // Adapters that have more than is wanted.
  EXPECT_EQ(train("run.out=y run.steps=1 adapter.from=lora adapter.target='[\"mlp.*\"]' "
                  "'checkpoint.ignore_extra=[\"*\"]'")
                .code,
            0)
      << read(".err");
}

// The frozen model in blocks of 8 or 4 bits: about the same model, smaller, on every layout.
TEST_F(Adapters, BesideAModelInBlocks) {
  ASSERT_EQ(run(0, "train job.toml run.out=wide model.hidden=128 model.ffn=128 model.kv_heads=2").code, 0)
      << read(".err");
  ASSERT_EQ(run(0, "init --from wide --data text.txt --lora -o wide.toml").code, 0) << read(".err");
  const auto wide = [&](const std::string& keys, int ranks = 0) {
    const JobOutcome outcome = run(ranks, "train wide.toml" + std::string(kBrief) + keys);
    EXPECT_EQ(outcome.code, 0) << keys << outcome.err;
  };
  const auto weight_bytes = [&](const std::string& keys) {
    const JobOutcome plan = run(0, "plan wide.toml --json" + std::string(kBrief) + keys);
    EXPECT_EQ(plan.code, 0) << plan.err;
    return nlohmann::json::parse(plan.out)
        .at("pipeline")[0]
        .at("memory")
        .at("device")
        .at("at_peak")
        .at("weight")
        .get<double>();
  };
  wide("run.out=plain run.steps=4");
  const double plain = losses("plain")[0];
  for (const auto& [format, near] : {std::pair("int8", 2e-3), std::pair("nf4", 3e-2)}) {
    const std::string keys = std::string(" run.steps=4 adapter.base_weights=") + format;
    const std::string one = std::string("one_") + format;
    wide("run.out=" + one + keys);
    const std::vector<double> want = losses(one);
    EXPECT_NEAR(want[0], plain, near * plain) << format;
    EXPECT_NE(want[0], plain);
    EXPECT_LT(want[3], want[0]);
    EXPECT_LT(weight_bytes(keys), 0.45 * weight_bytes("")) << format;
    for (const std::string layout :
         {"parallel.tp=2", "parallel.partition=zero3", "parallel.partition=zero1", "parallel.pp=2"}) {
      std::filesystem::remove_all(folder_ / "many");
      wide("run.out=many " + layout + keys, 2);
      const std::vector<double> got = losses("many");
      for (size_t step = 0; step < 4; ++step) EXPECT_NEAR(got[step], want[step], 2e-5 * want[step]) << layout;
    }
    EXPECT_EQ(run(0, "sample " + one + " --prompt 'verse 1' --tokens 4").code, 0) << read(".err");
    EXPECT_EQ(run(0, "merge " + one + " merged_" + format).code, 0) << read(".err");
  }
}

}  // namespace
}  // namespace strata
