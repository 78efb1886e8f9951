// SPDX-License-Identifier: Apache-2.0
// Models on a tensor axis (with and without sequence parallelism), a context axis and both, against one rank:
// the bounds of a first step in f32 are 1e-6 for the loss and 1e-5 for every gradient in norm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/parallel/boundaries/layout_run.h"

namespace strata {

void PrintTo(const TestLayout& layout, std::ostream* out) { *out << to_string(layout); }

namespace {

constexpr double kLossBound = 1e-6, kGradientBound = 1e-5;

struct NamedModel {
  const char* name;
  ModelSpec spec;
};
void PrintTo(const NamedModel& model, std::ostream* out) { *out << model.name; }

std::vector<NamedModel> models() {
  const ModelSpec llama{.arch = "llama",
                        .layers = 2,
                        .hidden = 24,
                        .heads = 8,
                        .kv_heads = 4,
                        .head_dim = 6,
                        .ffn = 40,
                        .vocab = 90,  // four parts of the padded vocabulary: two have nothing but padding
                        .max_positions = 32};
  ModelSpec qwen = llama, tied = llama, gpt2 = llama, untied = llama;
  qwen.qk_norm = qwen.qkv_bias = true;
  tied.tied = true;
  tied.kv_heads = 8;
  gpt2.arch = untied.arch = "gpt2";
  gpt2.kv_heads = untied.kv_heads = 8;
  gpt2.tied = true;
  return {{"llama", llama},
          {"llama_variants", qwen},
          {"llama_tied", tied},
          {"gpt2", gpt2},
          {"gpt2_untied", untied}};
}

std::vector<TestLayout> layouts() {
  constexpr auto kThreaded = CpuStream::Mode::threaded;
  return {{.tp = 2},
          {.tp = 4},
          {.tp = 2, .sequence = true},
          {.tp = 4, .sequence = true, .mode = kThreaded},
          {.cp = 2},
          {.cp = 4, .mode = kThreaded},
          {.tp = 2, .cp = 2},
          {.tp = 2, .sequence = true, .cp = 4}};
}

void expect_one_rank(const Outcome& got, const Outcome& expected, const TestLayout& layout) {
  SCOPED_TRACE(to_string(layout));
  EXPECT_EQ(got.targets, expected.targets);
  EXPECT_NEAR(got.loss, expected.loss, kLossBound * expected.loss);
  const Distance worst = farthest(got, expected);
  EXPECT_LE(worst.relative, kGradientBound) << worst.tensor;
  EXPECT_THAT(got.faults, testing::IsEmpty());
}

class Equivalence : public testing::TestWithParam<std::tuple<NamedModel, TestLayout>> {};

TEST_P(Equivalence, LossAndGradientsAreThoseOfOneRank) {
  const auto& [model, layout] = GetParam();
  const Batch batch = packed_batch(2, 32, model.spec.vocab);
  expect_one_rank(run_layout(model.spec, DType::f32, batch, layout),
                  run_layout(model.spec, DType::f32, batch), layout);
}

INSTANTIATE_TEST_SUITE_P(Layouts, Equivalence,
                         testing::Combine(testing::ValuesIn(models()), testing::ValuesIn(layouts())),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + "_" +
                                  to_string(std::get<1>(info.param));
                         });

// As many parts as there are heads, or chunks of two tokens.
TEST(Equivalence, EightRanks) {
  const ModelSpec spec = models()[2].spec;
  const Batch batch = packed_batch(2, 32, spec.vocab);
  const Outcome expected = run_layout(spec, DType::f32, batch);
  for (const TestLayout& layout :
       {TestLayout{.tp = 8, .sequence = true}, TestLayout{.tp = 4, .cp = 2}, TestLayout{.cp = 8}})
    expect_one_rank(run_layout(spec, DType::f32, batch, layout), expected, layout);
}

// bf16 has 8 bits: an activation errs by 2^-9, and a gradient that has come through two layers by a few per
// cent of its norm on one rank already; layouts may differ by as much from one another.
TEST(Equivalence, Bf16) {
  for (const NamedModel& model : models()) {
    const Batch batch = packed_batch(2, 32, model.spec.vocab);
    const Outcome exact = run_layout(model.spec, DType::f32, batch);
    const Outcome expected = run_layout(model.spec, DType::bf16, batch);
    const double one_rank = farthest(expected, exact).relative;
    for (const TestLayout& layout : {TestLayout{.tp = 4}, TestLayout{.tp = 2, .sequence = true},
                                     TestLayout{.cp = 4}, TestLayout{.tp = 2, .sequence = true, .cp = 2}}) {
      const Outcome got = run_layout(model.spec, DType::bf16, batch, layout);
      EXPECT_NEAR(got.loss, exact.loss, 4e-3 * exact.loss) << model.name << " " << to_string(layout);
      const Distance worst = farthest(got, exact);
      EXPECT_LE(worst.relative, 1.5 * one_rank + 0.01)
          << model.name << " " << to_string(layout) << " " << worst.tensor;
      EXPECT_GT(worst.relative, 1e-4);  // it was bf16
    }
  }
}

}  // namespace
}  // namespace strata
