// SPDX-License-Identifier: Apache-2.0
// Runs that begin with, or go on from, a checkpoint that is not quite theirs: rules that rename tensors,
// leave them out or make them anew. Frozen f32 tensors show after a step what they began with.
#include "launch/train/loading_rules.h"

#include <gmock/gmock.h>

#include <map>

#include "checkpoint/step_folders.h"
#include "core/base/error.h"
#include "tests/launch/train/tiny_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

class LoadingRules : public TinyRun {
 protected:
  LoadedConfig plain(const std::string& out, std::vector<std::string> more = {}) const {
    std::vector<std::string> overrides{"precision.compute=fp32", "precision.state=fp32",
                                       "schedule.type=constant", "checkpoint.every=5", "run.steps=5"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    return config(out, overrides);
  }
  // One step, beginning with the weights of the run "base", all layers frozen.
  std::map<std::string, std::string> begun_with_base(const std::string& out, std::vector<std::string> more) {
    more.insert(more.end(), {"model.from=" + (folder_ / "base").string(), "optimizer.frozen=[\"layers.*\"]",
                             "run.steps=1", "schedule.warmup=0"});
    EXPECT_EQ(train(plain(out, more)), 0);
    return sums(out, 1);
  }
  std::map<std::string, std::string> sums(const std::string& name, int64_t step) const {
    const auto files = make_posix_file_system();
    const StrataSource checkpoint(*files, step_folder((out(name) / "checkpoints").string(), step));
    std::map<std::string, std::string> sums;
    for (const ManifestTensor& tensor : checkpoint.manifest().tensors)
      sums[tensor.logical.name + "/" + tensor.logical.state] = to_string(tensor.digest);
    return sums;
  }
  std::string refusal(const std::vector<std::string>& more) {
    try {
      train(plain("refused", more));
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
};

const std::string kUp = "layers.0.mlp.up.weight", kOtherUp = "layers.1.mlp.up.weight";

TEST_F(LoadingRules, ModelFromRenamedMissingExtraAndAnew) {
  ASSERT_EQ(train(plain("base")), 0);
  const auto base = sums("base", 5);
  ASSERT_TRUE(base.contains(kUp + "/param")) << testing::PrintToString(base);
  ASSERT_NE(base.at(kUp + "/param"), base.at(kOtherUp + "/param"));
  const auto swapped = begun_with_base(
      "swapped", {"checkpoint.rename=[\"" + kUp + "=" + kOtherUp + "\", \"" + kOtherUp + "=" + kUp + "\"]"});
  EXPECT_EQ(swapped.at(kUp + "/param"), base.at(kOtherUp + "/param"));
  EXPECT_EQ(swapped.at(kOtherUp + "/param"), base.at(kUp + "/param"));

  ASSERT_EQ(train(plain("fresh", {"model.layers=3", "optimizer.frozen=[\"layers.*\"]", "run.steps=1",
                                  "schedule.warmup=0"})),
            0);
  const auto fresh = sums("fresh", 1);
  const auto anew = begun_with_base("anew", {"checkpoint.reinit=[\"" + kUp + "\"]"});
  const auto more = begun_with_base("more", {"model.layers=3", "checkpoint.allow_missing=[\"layers.2.*\"]"});
  const auto less = begun_with_base("less", {"model.layers=1", "checkpoint.ignore_extra=[\"layers.1.*\"]"});
  for (const auto& [name, sum] : fresh) {
    if (!name.starts_with("layers.")) continue;
    if (name.starts_with("layers.2.")) {
      EXPECT_EQ(more.at(name), sum) << name;
      continue;
    }
    EXPECT_EQ(more.at(name), base.at(name)) << name;
    EXPECT_EQ(anew.at(name), name == kUp + "/param" ? sum : base.at(name)) << name;
    if (name.starts_with("layers.0.")) EXPECT_EQ(less.at(name), base.at(name)) << name;
  }
  EXPECT_NE(fresh.at(kUp + "/param"), base.at(kUp + "/param"));
  // Weights of another type than the stored ones come by way of values.
  const std::vector<std::string> bf16{"precision.compute=bf16", "precision.state=split"};
  auto options = bf16;
  options.insert(options.end(), {"optimizer.frozen=[\"layers.*\"]", "run.steps=1", "schedule.warmup=0"});
  ASSERT_EQ(train(plain("fresh16", options)), 0);
  auto anew_options = bf16;
  anew_options.push_back("checkpoint.reinit=[\"" + kUp + "\"]");
  const auto fresh16 = sums("fresh16", 1), anew16 = begun_with_base("anew16", anew_options),
             base16 = begun_with_base("base16", bf16);
  EXPECT_EQ(anew16.at(kUp + "/param"), fresh16.at(kUp + "/param"));
  EXPECT_NE(anew16.at(kUp + "/param"), base16.at(kUp + "/param"));
  EXPECT_EQ(anew16.at(kOtherUp + "/param"), base16.at(kOtherUp + "/param"));
}

// The rule stays in the configuration; a job that starts once more goes on from what it made.
TEST_F(LoadingRules, AResumedRunMakesATensorAnewOnce) {
  for (const char* state : {"fp32", "split"}) {
    SCOPED_TRACE(state);
    const std::string mark = state, rule = "checkpoint.reinit=[\"" + kUp + "\"]";
    const std::vector<std::string> common{
        mark == "fp32" ? "precision.compute=fp32" : "precision.compute=bf16", "precision.state=" + mark};
    const auto run = [&](const std::string& out, int steps, bool anew) {
      std::vector<std::string> more = common;
      more.push_back("run.steps=" + std::to_string(steps));
      if (anew) more.push_back(rule);
      EXPECT_EQ(train(plain(out + mark, more)), 0);
    };
    for (const char* out : {"plain", "once", "twice"}) run(out, 5, false);
    run("plain", 15, false);
    run("once", 15, true);
    run("twice", 10, true);
    run("twice", 15, true);
    EXPECT_EQ(sums("once" + mark, 15), sums("twice" + mark, 15));
    EXPECT_NE(sums("once" + mark, 15), sums("plain" + mark, 15));
    EXPECT_EQ(losses("once" + mark)[5] == losses("plain" + mark)[5], false);
    EXPECT_EQ(losses("once" + mark)[4], losses("plain" + mark)[4]);
  }
}

TEST_F(LoadingRules, WrongOnesAreRefusedByName) {
  ASSERT_EQ(train(plain("base")), 0);
  const std::string from = "model.from=" + (folder_ / "base").string();
  EXPECT_THAT(refusal({from, "model.layers=3"}), HasSubstr("missing    layers.2.mlp.up.weight (param)"));
  EXPECT_THAT(refusal({from, "checkpoint.reinit=[\"layers.7.*\"]"}),
              HasSubstr("reinit 'layers.7.*' applies to nothing"));
  EXPECT_THAT(refusal({from, "checkpoint.allow_missing=[\"nose\"]"}),
              HasSubstr("allow-missing 'nose' applies to nothing"));
  EXPECT_THAT(refusal({from, "checkpoint.rename=[\"a=b\"]"}), HasSubstr("rename 'b' applies to nothing"));
  for (const char* text : {"a", "=a", "a=", "a=b=c"})
    EXPECT_THAT(refusal({from, std::string("checkpoint.rename=[\"") + text + "\"]"}),
                testing::AllOf(HasSubstr("not of its form"), HasSubstr(text)));
  for (const char* texts : {"\"a=b\", \"c=b\"", "\"a=b\", \"a=c\""})
    EXPECT_THAT(refusal({from, std::string("checkpoint.rename=[") + texts + "]"}), HasSubstr("two renames"));
}

}  // namespace
}  // namespace strata
