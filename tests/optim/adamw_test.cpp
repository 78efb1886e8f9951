// SPDX-License-Identifier: Apache-2.0
// The numbers of AdamW: against an oracle in double, against PyTorch, and where numbers end.
#include "optim/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/optim/adamw_reference.h"
#include "tests/optim/rule_fixture.h"

namespace strata::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class AdamwTest : public testing::Test {
 protected:
  WorkerPool pool_{1};
  CpuStream stream_{pool_};

  std::unique_ptr<UpdateRule> fp32(const AdamwOptions& options = {}) {
    return make_update_rule("adamw", "fp32", DType::f32, options);
  }
};

TEST_F(AdamwTest, FollowsTheOracleFor200Steps) {
  constexpr int64_t kCount = 101;
  const AdamwOptions options{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8};
  const UpdateScalars scalars{.learning_rate = 0x1p-9f, .weight_decay = 0.125f, .gradient_scale = 0.75f};
  const auto rule = fp32(options);
  std::vector<float> values = normal_values(kCount, 1.0f, 1);

  RuleState state(*rule, kCount);
  rule->initialize(stream_, tensor_of(values), state.weight, state.slots);
  std::vector<ReferenceAdamw> reference;
  for (const float x : values)
    reference.push_back(
        {scalars.learning_rate, options.beta1, options.beta2, options.eps, scalars.weight_decay, x});

  for (int step = 1; step <= 200; ++step) {
    const std::vector<float> grad = normal_values(kCount, std::pow(10.0f, static_cast<float>(step % 5 - 3)),
                                                  static_cast<uint32_t>(1000 + step));
    std::ranges::copy(grad, state.grad.data<float>());
    UpdateScalars now = scalars;
    now.step = step;
    state.update(*rule, stream_, now);
    for (int64_t i = 0; i < kCount; ++i)
      reference[static_cast<size_t>(i)].update(0.75 * static_cast<double>(grad[static_cast<size_t>(i)]));
    if (step != 3 && step != 200) continue;
    for (int64_t i = 0; i < kCount; ++i) {
      const ReferenceAdamw& expected = reference[static_cast<size_t>(i)];
      // Gradients reach 40; an Adam step is at most lr (1 - beta1) / sqrt(1 - beta2) < lr, or lr early on.
      ASSERT_NEAR(state.weight.data<float>()[i], expected.value, value_bound(step, 4, 0x1p-9))
          << "step " << step;
      ASSERT_NEAR(state.slots[0].data<float>()[i], expected.moment1, moment_bound(options.beta1, 4));
      ASSERT_NEAR(state.slots[1].data<float>()[i], expected.moment2, moment_bound(options.beta2, 160 * 0.05));
    }
  }
}

// tests/golden/make_adamw.py, the same formulas.
float golden_value(int64_t i) {
  return static_cast<float>(static_cast<double>((i * 7919) % 2001 - 1000) / 500);
}
float golden_gradient(int64_t i, int64_t step) {
  if (i % 12 == 11) return 0;
  return static_cast<float>(static_cast<double>((i * 7919 + step * 104729) % 2003 - 1001) / 1001 *
                            std::pow(10.0, static_cast<double>(i % 6 - 4)));
}

nlohmann::json golden() {
  std::ifstream file(std::string(STRATA_SOURCE_DIR) + "/tests/golden/adamw/adamw.json");
  return nlohmann::json::parse(file);
}

TEST_F(AdamwTest, AgreesWithPyTorch) {
  const nlohmann::json all = golden();
  const int64_t count = all["count"];
  ASSERT_EQ(all["cases"].size(), 3u);
  for (const nlohmann::json& c : all["cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const AdamwOptions options{.beta1 = c["betas"][0], .beta2 = c["betas"][1], .eps = c["eps"]};
    const auto rule = fp32(options);
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(golden_value(i));
    RuleState state(*rule, count);
    rule->initialize(stream_, tensor_of(values), state.weight, state.slots);

    for (int64_t step = 1; step <= 200; ++step) {
      for (int64_t i = 0; i < count; ++i) state.grad.data<float>()[i] = golden_gradient(i, step);
      state.update(*rule, stream_,
                   {.learning_rate = c["lr"], .weight_decay = c["weight_decay"], .step = step});
      const std::string key = std::to_string(step);
      if (!c["single"].contains(key)) continue;
      for (const char* precision : {"single", "double"}) {
        SCOPED_TRACE(std::string(precision) + " step " + key);
        const nlohmann::json& kept = c[precision][key];
        // PyTorch's own single precision rounds the weight three times a step (the factor 1 - lr decay, its
        // product, the step) where we round once: four half ulps between us; against its double precision,
        // one.
        const double roundings = std::string(precision) == "single" ? 4 : 1;
        for (int64_t i = 0; i < count; ++i) {
          const auto at = [&](const char* what) { return kept[what][static_cast<size_t>(i)].get<double>(); };
          const double largest_step = c["lr"].get<double>() * 2;
          ASSERT_NEAR(state.weight.data<float>()[i], at("value"),
                      roundings * value_bound(static_cast<int>(step), 2, largest_step))
              << "element " << i;
          const double scale = std::pow(10.0, static_cast<double>(i % 6 - 4));  // of this element's gradients
          ASSERT_NEAR(state.slots[0].data<float>()[i], at("moment1"),
                      roundings * moment_bound(options.beta1, scale));
          ASSERT_NEAR(state.slots[1].data<float>()[i], at("moment2"),
                      roundings * moment_bound(options.beta2, scale * scale));
        }
      }
    }
  }
}

// One step from given state; values by hand.
struct Special {
  const char* name;
  float value, moment1, moment2, grad;
  float expected_value, expected_moment1, expected_moment2;
};

TEST_F(AdamwTest, SpecialValues) {
  const AdamwOptions options{.beta1 = 0.5, .beta2 = 0.75, .eps = 0x1p-20};
  // At step 1: step_size = lr / 0.5 = 2^-3, and 1 / sqrt(1 - 0.75) = 2: all exact. No weight decay.
  const UpdateScalars scalars{.learning_rate = 0x1p-4f, .step = 1};
  constexpr float kMax = std::numeric_limits<float>::max();
  constexpr float kDenormal = std::numeric_limits<float>::denorm_min();
  const Special cases[] = {
      {"nothing moves nothing", 1.5f, 0, 0, 0, 1.5f, 0, 0},
      {"padding stays zero", 0, 0, 0, 0, 0, 0, 0},
      {"negative zero is a zero", -0.0f, 0, 0, 0, -0.0f, 0, 0},
      // m = 2, v = 4, root 2 * 2 + 2^-20: 0.125 * 2 / (4 + 2^-20) = 0.0625 less 2^-26, below half an ulp
      // of 1.
      {"unit gradient", 1.0f, 0, 0, 4.0f, 0.9375f, 2.0f, 4.0f},
      // g^2 underflows: the step is 2^-3 * (2^-149 * 64 / 2) / 2^-20, far below an ulp of 1, all of 0.
      {"denormal gradient, weight 1", 1.0f, 0, 0, 64 * kDenormal, 1.0f, 32 * kDenormal, 0},
      {"denormal gradient, weight 0", 0.0f, 0, 0, 64 * kDenormal, -0x1p-127f, 32 * kDenormal, 0},
      {"denormal moment fades", 0.0f, 2 * kDenormal, 0, 0, -0x1p-132f, kDenormal, 0},
      // The square overflows: no step, now or ever, as in PyTorch; the weight stays finite.
      {"huge gradient", 1.0f, 0, 0, 1e30f, 1.0f, 0.5e30f, kInf},
      {"huge weight", kMax, 0, 0, 1.0f, kMax, 0.5f, 0.25f},
      {"infinite gradient", 1.0f, 0, 0, kInf, kNan, kInf, kInf},
      {"gradient is not a number", 1.0f, 0, 0, kNan, kNan, kNan, kNan},
      {"negative second moment", 1.0f, 0, -1.0f, 0, kNan, 0, -0.75f},
  };
  const auto rule = fp32(options);
  for (const Special& c : cases) {
    SCOPED_TRACE(c.name);
    RuleState state(*rule, 1);
    *state.weight.data<float>() = c.value;
    *state.slots[0].data<float>() = c.moment1;
    *state.slots[1].data<float>() = c.moment2;
    *state.grad.data<float>() = c.grad;
    state.update(*rule, stream_, scalars);
    const auto expect = [](float found, float expected) {
      EXPECT_EQ(bits_of(found), std::isnan(expected) ? 0x7FC00000u : bits_of(expected))
          << found << " " << expected;
    };
    expect(*state.weight.data<float>(), c.expected_value);
    expect(*state.slots[0].data<float>(), c.expected_moment1);
    expect(*state.slots[1].data<float>(), c.expected_moment2);
  }
}

TEST_F(AdamwTest, CoefficientsAreRoundedOnceFromDouble) {
  const AdamwCoefficients c =
      adamw_coefficients({.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
                         {.learning_rate = 1e-3f, .weight_decay = 0.1f, .gradient_scale = 0.5f, .step = 10});
  const double lr = 1e-3f;
  EXPECT_EQ(c.one_minus_beta1, static_cast<float>(1.0 - 0.9));  // not 1.0f - 0.9f, which is 0.10000002
  EXPECT_NE(c.one_minus_beta1, 1.0f - 0.9f);
  EXPECT_EQ(c.one_minus_beta2, static_cast<float>(1.0 - 0.999));
  EXPECT_EQ(c.step_size, static_cast<float>(lr / (1 - std::pow(0.9, 10))));
  EXPECT_EQ(c.inverse_root_bias2, static_cast<float>(1 / std::sqrt(1 - std::pow(0.999, 10))));
  EXPECT_EQ(c.decay, static_cast<float>(lr * static_cast<double>(0.1f)));
  EXPECT_EQ(c.gradient_scale, 0.5f);
  EXPECT_EQ(c.eps, 1e-8f);
}

}  // namespace
}  // namespace strata::test
