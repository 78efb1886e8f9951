// SPDX-License-Identifier: Apache-2.0
// Reading a configuration: values, overrides, foreign names, derived values, and the print that starts the
// same run.
#include "launch/config/load.h"

#include <gmock/gmock.h>

#include "launch/config/fingerprint.h"
#include "launch/config/key_table.h"
#include "launch/config/print.h"
#include "launch/recipes/recipe.h"
#include "tests/launch/config/sample_config.h"

namespace strata::test {
namespace {

void expect_same(const Config& a, const Config& b) {
  for (const Key& key : key_table().keys()) EXPECT_EQ(key.get(a), key.get(b)) << key.path;
}

TEST(Load, ReadsEveryKindOfValue) {
  const LoadedConfig loaded = load(R"(
run.steps = 1_000
[model]
arch = "llama"
layers = 2
hidden = 96
heads = 6
kv_heads = 2
norm_eps = 1e-6
tied = false
[data]
train = ["a b.txt", 'c\d.txt']
valid = "one.txt"
packing = "concat"
seq_len = 64
[batch]
tokens_per_step = 0x200
micro_batch = 4
[optimizer]
lr = 1
betas = [0, 0.5]
[checkpoint]
every = "1h30min"
[eval]
every = 7
[guard]
nan = "skip"
spike = 6
)");
  const Config& config = loaded.config;
  EXPECT_EQ(config.run.steps, 1000);
  EXPECT_EQ(config.model.kv_heads, 2);
  EXPECT_EQ(config.model.norm_eps, 1e-6);
  EXPECT_FALSE(config.model.tied);
  EXPECT_THAT(config.data.train, testing::ElementsAre("a b.txt", "c\\d.txt"));
  EXPECT_THAT(config.data.valid, testing::ElementsAre("one.txt"));
  EXPECT_EQ(config.data.packing, Packing::concat);
  EXPECT_EQ(config.batch.tokens_per_step, 512);
  EXPECT_EQ(config.optimizer.lr, 1.0);
  EXPECT_THAT(config.optimizer.betas, testing::ElementsAre(0.0, 0.5));
  EXPECT_EQ(config.checkpoint.every, (Period{.steps = 0, .seconds = 5400}));
  EXPECT_EQ(config.eval.every, (Period{.steps = 7, .seconds = 0}));
  EXPECT_EQ(config.guard.nan, NanAction::skip);
  EXPECT_EQ(config.guard.spike, 6.0);
  EXPECT_EQ(loaded.origin("run.steps"), "run.toml:2");
  EXPECT_EQ(loaded.origin("optimizer.lr"), "run.toml:20");
  EXPECT_EQ(loaded.origin("run.seed"), "default");
  EXPECT_TRUE(loaded.notes.empty());
}

TEST(Load, DerivesWhatFollows) {
  const Config llama = load(kGood).config;
  EXPECT_EQ(llama.run.out, "runs/run");
  EXPECT_EQ(llama.model.kv_heads, 4);
  EXPECT_EQ(llama.model.head_dim, 16);
  EXPECT_EQ(llama.model.ffn, 192);  // 8/3 x 64 = 170.7, the next multiple of 64
  EXPECT_EQ(llama.model.max_positions, 32);
  EXPECT_EQ(load(kGood, {"model.hidden=4096", "model.heads=32"}).config.model.ffn, 10944);  // 10922.7
  EXPECT_EQ(load(kGood, {"model.arch=gpt2"}).config.model.ffn, 256);
  EXPECT_EQ(load(kGood, {"run.name=kjv"}).config.run.out, "runs/kjv");
}

TEST(Load, OverridesWinAndTheLastOneWins) {
  const LoadedConfig loaded =
      load(kGood, {"run.steps=7", "run.steps=8", "optimizer.lr=1e-3", "run.name=a b", "run.out=\"x=y\"",
                   "data.train=book.txt", "data.valid=[\"a\", \"b\"]", "optimizer.betas=[0.8, 0.9]",
                   "model.tied=false", "checkpoint.every=30min", "guard.spike=off",
                   "run.seed=9223372036854775807", "schedule.warmup=0"});
  EXPECT_EQ(loaded.config.run.steps, 8);
  EXPECT_EQ(loaded.config.optimizer.lr, 1e-3);
  EXPECT_EQ(loaded.config.run.name, "a b");
  EXPECT_EQ(loaded.config.run.out, "x=y");
  EXPECT_THAT(loaded.config.data.train, testing::ElementsAre("book.txt"));
  EXPECT_THAT(loaded.config.data.valid, testing::ElementsAre("a", "b"));
  EXPECT_THAT(loaded.config.optimizer.betas, testing::ElementsAre(0.8, 0.9));
  EXPECT_FALSE(loaded.config.model.tied);
  EXPECT_EQ(loaded.config.checkpoint.every.seconds, 1800);
  EXPECT_EQ(loaded.config.guard.spike, std::nullopt);
  EXPECT_EQ(loaded.config.run.seed, INT64_MAX);
  EXPECT_EQ(loaded.origin("run.steps"), "command line");
}

TEST(Load, ALaterOverrideMendsAFaultOfTheFile) {
  // The fault of the file is still one: it is the file that should be mended.
  EXPECT_EQ(faults_of(good_with("optimizer", "lr = -1"), {"optimizer.lr=1e-3"}).size(), 1u);
  // A condition between keys is judged on the values that count.
  EXPECT_EQ(load(good_with("schedule", "warmup = 500"), {"run.steps=1000"}).config.schedule.warmup, 500);
}

TEST(Load, TextOnTheCommandLineIsTakenAsItIs) {
  EXPECT_EQ(load(kGood, {"run.name=2024"}).config.run.name, "2024");
  EXPECT_EQ(load(kGood, {"run.name=true"}).config.run.name, "true");
  EXPECT_EQ(load(kGood, {"run.out=a#b\\c"}).config.run.out, "a#b\\c");
  EXPECT_EQ(load(kGood, {"checkpoint.resume=/a/b=c"}).config.checkpoint.resume, "/a/b=c");
}

TEST(Load, EveryAliasIsReadWithANote) {
  for (const Key& key : key_table().keys())
    for (const std::string_view alias : key.traits.aliases) {
      const std::string value =
          key.path == "data.train" ? "[\"other.txt\"]" : to_toml(key.get(load(kGood).given));
      const bool required = key.traits.required;
      // Without the key of the same meaning in the text, so that it is not there twice.
      std::string text = kGood;
      const size_t line = text.find("\n" + std::string(key.name) + " = ");
      if (line != std::string::npos) text.erase(line, text.find('\n', line + 1) - line);
      const LoadedConfig top = load(std::string(alias) + " = " + value + "\n" + text);
      EXPECT_THAT(top.notes,
                  testing::ElementsAre(testing::HasSubstr(std::string(alias) + " is read as " + key.path)));
      EXPECT_EQ(top.origin(key.path), "run.toml:1");
      EXPECT_EQ(load(text, required ? std::vector<std::string>{std::string(alias) + "=" + value}
                                    : std::vector<std::string>{std::string(key.section) + "." +
                                                               std::string(alias) + "=" + value})
                    .notes.size(),
                1u)
          << alias;
    }
  EXPECT_EQ(
      load("seq-length = 16\n" + kGood.substr(0, kGood.find("seq_len")) + kGood.substr(kGood.find("[batch]")))
          .config.data.seq_len,
      16);
}

TEST(Load, ThePrintStartsTheSameRun) {
  const std::vector<std::vector<std::string>> variants = {
      {},
      {"optimizer.lr=0.1", "optimizer.eps=1e-12", "model.norm_eps=0.30000000000000004", "model.tied=false"},
      {"run.name=a \"quoted\" \\ name\ttab", "data.train=[\"x\", \"ü\", \"\\u0001\"]", "data.valid=v#1.txt"},
      {"checkpoint.every=1h1min1s", "eval.every=0", "guard.spike=6.5", "guard.nan=skip"},
      {"model.arch=gpt2", "schedule.type=wsd", "schedule.decay=0.25", "precision.state=split"},
      {"model.rope_scaling=llama3", "model.rope_theta=5e5", "model.kv_heads=2", "model.qk_norm=true"},
  };
  for (const auto& overrides : variants) {
    const LoadedConfig first = load(kGood, overrides);
    const std::string text = effective_toml(first);
    const LoadedConfig second = parse_config(text, "printed.toml");
    expect_same(first.config, second.config);
    expect_same(first.given, second.given);
    EXPECT_EQ(fingerprint(first.config), fingerprint(second.config));
    // Derived values stay derived: the print can be varied like the original.
    const std::vector<std::string> wider = {"model.hidden=128", "data.seq_len=64"};
    if (overrides.empty()) {
      EXPECT_EQ(parse_config(text, "printed.toml", wider).config.model.head_dim, 32);
      EXPECT_EQ(parse_config(text, "printed.toml", wider).config.model.max_positions, 64);
    }
  }
}

TEST(Load, ThePrintNamesOrigins) {
  const std::string text = effective_toml(load(kGood, {"optimizer.lr=1e-3"}));
  for (const char* line :
       {"steps = 100 .*# run.toml:2\n", "lr = 0.001 .*# command line\n", "seed = 1234 .*# default\n",
        "head_dim = 0 .*# default, here 16\n", "eps = 1e-8 .*# default\n"})
    EXPECT_THAT(text, testing::ContainsRegex(line));
  // A file name cannot break out of its comment.
  EXPECT_NO_THROW(parse_config(effective_toml(parse_config(kGood, "a\nb = \xff")), "printed.toml"));
}

TEST(Load, EveryRecipeIsFreeOfFaults) {
  ASSERT_FALSE(recipes().empty());
  for (const Recipe& recipe : recipes()) {
    EXPECT_NO_THROW(parse_config(recipe.toml, std::string(recipe.name))) << recipe.name;
    EXPECT_THAT(std::string(recipe.toml), testing::HasSubstr("strata train"));
    for (const char c : recipe.toml) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~'));
  }
}

}  // namespace
}  // namespace strata::test
