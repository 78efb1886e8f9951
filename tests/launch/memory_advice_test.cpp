// SPDX-License-Identifier: Apache-2.0
// What a message about too little memory promises is so: the limit it names works and a smaller one does not,
// every change it names fits, and they come in the order of their cost.
#include "launch/train/memory_advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "core/base/error.h"
#include "launch/commands/plan_figures.h"
#include "launch/config/load.h"

namespace strata {
namespace {

Config bf16_config(const std::vector<std::string>& overrides) {
  return parse_config(R"([run]
steps = 1
[model]
layers = 6
hidden = 128
heads = 4
[data]
train = ["text.txt"]
seq_len = 64
[batch]
tokens_per_step = 1024
micro_batch = 4
[precision]
compute = "bf16"
state = "split"
)",
                      "run.toml", overrides)
      .config;
}

int64_t arena(const PlanFigures& figures, Tier tier) { return figures.pipeline[0].memory[tier].arena; }

std::string refused(const std::vector<std::string>& overrides) {
  try {
    plan_figures(bf16_config(overrides), 0);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::memory);
    return error.report().fix;
  }
  return "";
}

std::vector<std::string> words(const std::string& text) {
  static const std::regex blank(" ");
  return {std::sregex_token_iterator(text.begin(), text.end(), blank, -1), {}};
}

TEST(MemoryAdvice, TheNamedLimitWorksAndASmallerOneDoesNot) {
  const std::string fix = refused({"offload.device_limit=24MiB"});
  std::smatch found;
  ASSERT_TRUE(std::regex_search(fix, found, std::regex("raise offload.device_limit to (\\d+) MiB"))) << fix;
  const int64_t least = std::stoll(found[1]);
  EXPECT_EQ(refused({fmt::format("offload.device_limit={}MiB", least)}), "");
  EXPECT_NE(refused({fmt::format("offload.device_limit={}MiB", least - 1)}), "");
}

TEST(MemoryAdvice, EveryNamedChangeFitsAndTheFastestComesFirst) {
  const std::string fix = refused({"offload.device_limit=24MiB"});
  static const std::regex change(R"(([a-z_.= 0-9]+) \(device (\d+) MiB, host (\d+) MiB, time ([+-]\d+)%\))");
  int told = 0, before = -1000;
  for (auto at = std::sregex_iterator(fix.begin(), fix.end(), change); at != std::sregex_iterator(); ++at) {
    std::vector<std::string> keys;
    for (const std::string& word : words((*at)[1]))
      if (word.find('=') != std::string::npos) keys.push_back(word);
    ASSERT_FALSE(keys.empty()) << fix;
    // Nothing is away in the refused configuration, and so nothing loaded ahead.
    std::vector<std::string> as_counted = keys;
    as_counted.insert(as_counted.begin(), "offload.prefetch=0");
    if (std::find(keys.begin(), keys.end(), "offload.prefetch=1") != keys.end())
      as_counted.erase(as_counted.begin());
    const int64_t device = arena(plan_figures(bf16_config(as_counted), 0), Tier::device);
    EXPECT_EQ((device + (1 << 20) - 1) >> 20, std::stoll((*at)[2]));
    EXPECT_LE(std::stoll((*at)[2]), 24);
    keys.emplace_back("offload.device_limit=24MiB");
    EXPECT_EQ(refused(keys), "") << (*at)[1];
    EXPECT_GE(std::stoi((*at)[4]), before);
    before = std::stoi((*at)[4]);
    ++told;
  }
  EXPECT_EQ(told, 3) << fix;
}

TEST(MemoryAdvice, WhereNothingHelpsItSaysSo) {
  EXPECT_THAT(refused({"offload.device_limit=1MiB"}), testing::HasSubstr("no choice of tiers fits"));
}

TEST(MemoryAdvice, PlansNameTheRoofline) {
  EXPECT_FALSE(plan_figures(bf16_config({}), 0).roofline.has_value());
  const PlanFigures figures =
      plan_figures(bf16_config({"offload.moments=nvme", "offload.endurance=600", "offload.prefetch=3"}), 0);
  ASSERT_TRUE(figures.roofline.has_value());
  EXPECT_EQ(figures.prefetch, 3);
  const int64_t moved = figures.pipeline[0].moved[static_cast<size_t>(Lane::disk_write)];
  EXPECT_GT(moved, 0);
  EXPECT_EQ(figures.roofline->bytes_written, static_cast<double>(moved));
  const Rates rates;
  EXPECT_NEAR(figures.roofline->at(StepPart::drive),
              static_cast<double>(moved) * (1 / rates.disk_read + 1 / rates.disk_write), 1e-12);
  const std::string text = to_string(figures);
  EXPECT_THAT(text, testing::HasSubstr("prefetch   3 blocks\n"));
  EXPECT_THAT(text, testing::HasSubstr("the drive is free from "));
  EXPECT_THAT(text, testing::HasSubstr("TB written a day, drives last "));
}

}  // namespace
}  // namespace strata
