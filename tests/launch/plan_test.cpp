// SPDX-License-Identifier: Apache-2.0
// What a plan says about a layout agrees with itself, and what it dumps parses to the programs it is about.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "launch/commands/plan_figures.h"
#include "launch/config/load.h"
#include "launch/train/place.h"

namespace strata {
namespace {

using testing::HasSubstr;

Config config_of(const std::vector<std::string>& overrides) {
  return parse_config(R"([run]
steps = 1
[model]
layers = 4
hidden = 64
heads = 4
[data]
train = ["text.txt"]
seq_len = 64
[batch]
tokens_per_step = 4096
micro_batch = 2
)",
                      "run.toml", overrides)
      .config;
}

int64_t total(const std::array<int64_t, kNumLinkLevels>& bytes) {
  int64_t sum = 0;
  for (const int64_t b : bytes) sum += b;
  return sum;
}

TEST(Plan, OneRankMeetsNobody) {
  const PlanFigures figures = plan_figures(config_of({}), 0);
  EXPECT_EQ(figures.ranks, 1);
  ASSERT_EQ(figures.pipeline.size(), 1u);
  EXPECT_EQ(total(figures.pipeline[0].received), 0);
  EXPECT_EQ(figures.bubble, 0);
  EXPECT_EQ(figures.pipeline[0].parameters, figures.parameters + (320 - 257) * 64);  // a padded table
  const std::string text = to_string(figures);
  EXPECT_THAT(text, HasSubstr("ranks      1 = pp 1 x dp 1 x cp 1 x tp 1\n"));
  EXPECT_THAT(text, HasSubstr("tokens     4096 a step = dp 1 x 32 micro-batches x 2 sequences x 64\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("received")));
}

TEST(Plan, EveryLayoutOfTheConfiguration) {
  const PlanFigures one = plan_figures(config_of({}), 0);
  const PlanFigures figures =
      plan_figures(config_of({"parallel.pp=2", "parallel.tp=2", "parallel.sequence_parallel=true",
                              "parallel.partition=\"zero3\"", "parallel.schedule=\"zb-h1\""}),
                   8);
  EXPECT_EQ(figures.ranks, 8);
  EXPECT_EQ(figures.mesh, (MeshSizes{.pp = 2, .dp = 2, .tp = 2}));
  EXPECT_EQ(figures.parameters, one.parameters);
  ASSERT_EQ(figures.pipeline.size(), 2u);
  EXPECT_GT(figures.bubble, 0);
  EXPECT_LT(figures.bubble, 0.5);
  for (const PipelineRankFigures& rank : figures.pipeline) {
    EXPECT_GT(total(rank.received), 0);
    EXPECT_LT(rank.memory[Tier::device].arena, one.pipeline[0].memory[Tier::device].arena);
  }
  EXPECT_THAT(
      to_string(figures),
      testing::AllOf(HasSubstr("ranks      8 = pp 2 x dp 2 x cp 1 x tp 2, sequence parallel\n"),
                     HasSubstr("partition  weights over 2, gradients over 2, state over 2 of 2 data ranks\n"),
                     HasSubstr("schedule zb-h1\nrank 0   F0"), HasSubstr("\n  pipeline 1")));
  const nlohmann::json json = to_json(figures);
  EXPECT_EQ(json.at("mesh").at("tp"), 2);
  EXPECT_EQ(json.at("pipeline").at(1).at("memory").at("device").at("arena"),
            figures.pipeline[1].memory[Tier::device].arena);
  const std::vector<Program> parsed = parse_programs(to_string(std::span(figures.programs)));
  EXPECT_EQ(parsed, figures.programs);
  EXPECT_EQ(parsed.size(), 2u);
}

// What is kept for a weight gradient is codes and factors where bf16 keeps values: the difference is theirs.
TEST(Plan, EightBitsNeedLessThanBf16) {
  constexpr int64_t kTokens = 128, kHidden = 64, kFfn = 192;  // 2 x 64 tokens: one factor for each feature
  const PlanFigures figures = plan_figures(
      config_of({"precision.compute=fp8", "precision.recipe=block", "model.ffn=192", "run.threads=1"}), 0);
  ASSERT_TRUE(figures.pipeline[0].in_bf16);
  const auto& codes = figures.pipeline[0].memory[Tier::device];
  const auto& values = (*figures.pipeline[0].in_bf16)[Tier::device];
  const auto kept = [](const MemoryReport::TierUse& use) {
    return use.by_class[static_cast<size_t>(ValueClass::saved_weight)];
  };
  // The inputs of qkv, gate_up and down in four layers; the output layer's input is attention's, kept as it
  // is.
  const int64_t features = 4 * (kHidden + kHidden + kFfn);
  EXPECT_EQ(kept(values) - kept(codes), features * (2 * kTokens - (kTokens + 4)));
  EXPECT_LT(codes.arena, values.arena);
  EXPECT_THAT(to_string(figures), HasSubstr("8 bits beside bf16"));
  EXPECT_EQ(to_json(figures)["pipeline"][0]["memory"]["device_in_bf16"]["arena"], values.arena);
  EXPECT_FALSE(plan_figures(config_of({}), 0).pipeline[0].in_bf16);
}

// 128 rows of 256 elements in bf16, or codes with two factors a row: on the host, on the link and on the
// drive.
TEST(Plan, ActivationsIn8BitsTakeHalf) {
  constexpr int64_t kValues = 128 * 256 * 2, kCodes = 128 * 256 + 128 * 2 * 4, kPages = 36864;
  constexpr int64_t kLayers = 4, kMicroBatches = 2;
  static_assert(kCodes < kPages && kPages - kCodes < 4096);
  const auto planned = [](const std::string& home, const std::string& format) {
    return plan_figures(config_of({"model.hidden=256", "precision.compute=bf16", "parallel.recompute=full",
                                   "batch.tokens_per_step=256", "offload.prefetch=0",
                                   "offload.activations=" + home, "offload.activations_format=" + format}),
                        0);
  };
  const auto moved = [](const PlanFigures& figures, Lane lane) {
    return figures.pipeline[0].moved[static_cast<size_t>(lane)];
  };
  const auto on_host = [](const PlanFigures& figures) {
    return figures.pipeline[0].memory[Tier::host].by_class[static_cast<size_t>(ValueClass::x)];
  };
  const PlanFigures values = planned("host", "values"), codes = planned("host", "fp8");
  EXPECT_EQ(on_host(values), kLayers * kValues);
  EXPECT_EQ(on_host(codes), kLayers * kCodes);
  for (const Lane lane : {Lane::h2d, Lane::d2h}) {
    EXPECT_EQ(moved(values, lane), kLayers * kMicroBatches * kValues);
    EXPECT_EQ(moved(codes, lane), kLayers * kMicroBatches * kCodes);
  }
  EXPECT_NEAR(codes.roofline->at(StepPart::h2d) / values.roofline->at(StepPart::h2d),
              static_cast<double>(kCodes) / kValues, 1e-9);
  const PlanFigures far = planned("nvme", "fp8");
  for (const Lane lane : {Lane::disk_read, Lane::disk_write})
    EXPECT_EQ(moved(far, lane), kLayers * kMicroBatches * kPages);
  EXPECT_EQ(far.pipeline[0].stored, kLayers * kMicroBatches * kPages);
  EXPECT_EQ(far.roofline->bytes_written, kLayers * kMicroBatches * kPages);
}

TEST(Plan, LayoutsThatDoNotExistAreRefused) {
  EXPECT_THROW(plan_figures(config_of({"parallel.tp=3"}), 0), Error);
  EXPECT_THROW(plan_figures(config_of({"parallel.tp=2"}), 3), Error);
}

std::string fitted(std::vector<std::string> overrides, int slots) {
  const FittedJob job = fit_layout(config_of(overrides), slots, 257);
  const ParallelConfig& p = job.parallel;
  return fmt::format("{}: pp {} dp {} cp {} tp {} v {}", job.ranks, p.pp, p.dp, p.cp, p.tp, p.virtual_stages);
}

// 32 sequences a step in micro-batches of 2: 16 of them for the data ranks. Data ranks give way before the
// axes that hold the model apart.
TEST(FitLayout, AsManyRanksAsAreLegal) {
  EXPECT_EQ(fitted({}, 4), "4: pp 1 dp 4 cp 1 tp 1 v 1");
  EXPECT_EQ(fitted({}, 1), "1: pp 1 dp 1 cp 1 tp 1 v 1");
  EXPECT_EQ(fitted({"parallel.tp=2", "parallel.dp=4"}, 8), "8: pp 1 dp 4 cp 1 tp 2 v 1");
  EXPECT_EQ(fitted({"parallel.tp=2", "parallel.dp=4"}, 7), "4: pp 1 dp 2 cp 1 tp 2 v 1");
  EXPECT_EQ(fitted({"parallel.tp=4", "parallel.partition=\"zero3\""}, 3), "2: pp 1 dp 1 cp 1 tp 2 v 1");
  EXPECT_EQ(fitted({"parallel.pp=4"}, 4), "4: pp 4 dp 1 cp 1 tp 1 v 1");
}

// A layout that decide_layout() takes and ordered mode does not.
TEST(FitLayout, WhatTheRestOfTheConfigurationDemands) {
  EXPECT_EQ(fitted({"run.mode=\"ordered\"", "parallel.tp=2", "parallel.dp=2"}, 4),
            "4: pp 1 dp 4 cp 1 tp 1 v 1");
  EXPECT_THROW(fitted({"batch.micro_batch=3"}, 2), Error);
}

}  // namespace
}  // namespace strata
