// SPDX-License-Identifier: Apache-2.0
#include "optim/clip.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/device/cpu/cpu_stream.h"
#include "tests/optim/rule_fixture.h"

namespace strata::test {
namespace {

BinnedSum squares_of(std::vector<float> values) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  BinnedSum sum;
  sum_of_squares(stream, tensor_of(values), &sum);
  return sum;
}

TEST(Clip, KnownNorms) {
  struct Case {
    const char* name;
    std::vector<float> grad;
    double max_norm, stored_scale, norm, scale;
  };
  const Case cases[] = {
      {"above", {3, -4}, 1, 1, 5, 1 / (5 + 1e-6)},
      {"below", {3, -4}, 6, 1, 5, 1},
      {"at the limit torch clips by its 1e-6", {3, -4}, 5, 1, 5, 5 / (5 + 1e-6)},
      {"off", {300, -400}, 0, 1, 500, 1},
      {"zero gradient", {0, 0, 0}, 1, 1, 0, 1},
      {"stored as sums over 8 tokens", {24, -32}, 1, 0.125, 5, 0.125 / (5 + 1e-6)},
      {"stored as sums, not clipped", {24, -32}, 10, 0.125, 5, 0.125},
      {"squares beyond f32", {3e30f, -4e30f}, 1, 1, 5e30, 2e-31},
      {"squares below f32", {3e-30f, -4e-30f}, 1, 1, 5e-30, 1},
  };
  for (const Case& c : cases) {
    const Clip clip = clip_by_norm(squares_of(c.grad), c.max_norm, c.stored_scale);
    EXPECT_TRUE(clip.finite) << c.name;
    EXPECT_NEAR(clip.norm, c.norm, 2e-7 * c.norm) << c.name;  // 3e30f and the like are rounded
    EXPECT_FLOAT_EQ(clip.gradient_scale, static_cast<float>(c.scale)) << c.name;
  }
}

TEST(Clip, AgreesWithPyTorch) {
  std::ifstream file(std::string(STRATA_SOURCE_DIR) + "/tests/golden/adamw/adamw.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  std::vector<float> grad;  // the formula of tests/golden/make_adamw.py at step 1
  for (int64_t i = 0; i < golden["count"]; ++i)
    grad.push_back(i % 12 == 11 ? 0.0f
                                : static_cast<float>(static_cast<double>((i * 7919 + 104729) % 2003 - 1001) /
                                                     1001 * std::pow(10.0, static_cast<double>(i % 6 - 4))));
  ASSERT_EQ(golden["clip"].size(), 2u);
  for (const nlohmann::json& c : golden["clip"]) {
    const Clip clip = clip_by_norm(squares_of(grad), c["max_norm"]);
    EXPECT_NEAR(clip.norm, c["norm"].get<double>(), 1e-6 * clip.norm);  // PyTorch sums in f32
    for (size_t i = 0; i < grad.size(); ++i)
      EXPECT_NEAR(grad[i] * clip.gradient_scale, c["clipped"][i].get<double>(), 1e-6 * std::abs(grad[i]))
          << i;
  }
  EXPECT_LT(clip_by_norm(squares_of(grad), golden["clip"][0]["max_norm"]).gradient_scale, 1.0f);
}

TEST(Clip, WhatIsNotFiniteIsNotApplied) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    for (const double max_norm : {0.0, 1.0}) {
      const Clip clip = clip_by_norm(squares_of({1, bad, 2}), max_norm);
      EXPECT_FALSE(clip.finite);
      EXPECT_TRUE(std::isnan(clip.norm));
      EXPECT_EQ(clip.gradient_scale, 0.0f);
    }
  }
}

TEST(Clip, BrokenContracts) {
  EXPECT_THROW(clip_by_norm({}, -1), ContractError);
  EXPECT_THROW(clip_by_norm({}, 1, 0), ContractError);
  EXPECT_THROW(clip_by_norm({}, std::nan(""), 1), ContractError);
}

}  // namespace
}  // namespace strata::test
