// SPDX-License-Identifier: Apache-2.0
// Runs that follow a break-even table: what it says is slower in 8 bits is bf16's, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "launch/bench/fp8_gemm.h"
#include "launch/train/measured_layers.h"
#include "tests/launch/train/tiny_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

class FollowRun : public TinyRun {
 protected:
  LoadedConfig fp8(const std::string& out, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"precision.compute=fp8", "run.steps=6"});
    return config(out, std::move(more));
  }
  std::string table(const Fp8GemmBench& bench) const {
    const std::string path = (folder_ / "table.json").string();
    std::ofstream(path) << to_json(bench).dump();
    return path;
  }
  // As if it had been measured: every layer of the run, each product so much faster than bf16.
  Fp8GemmBench measured(double forward, double backward_input, double backward_weight) const {
    Fp8GemmBench bench;
    const Fp8GemmOptions options = fp8_gemm_options(fp8("none").config);
    for (const GemmShape& shape : options.shapes)
      for (const auto& [product, gain] : {std::pair(GemmProduct::forward, forward),
                                          {GemmProduct::data_gradient, backward_input},
                                          {GemmProduct::weight_gradient, backward_weight}})
        bench.rows.push_back({.shape = shape,
                              .recipe = options.recipes[0],
                              .product = product,
                              .tokens = options.tokens[0],
                              .with_quantizing_of_bf16 = gain});
    return bench;
  }
  std::vector<double> following(const std::string& out, const Fp8GemmBench& bench) const {
    EXPECT_EQ(train(fp8(out, {"precision.follow=\"" + table(bench) + "\""})), 0);
    return losses(out);
  }
  std::string refusal(const std::string& path) const {
    try {
      train(fp8("refused", {"precision.follow=\"" + path + "\""}));
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
};

TEST_F(FollowRun, ProductsThatAreSlowerAreThoseOfBf16) {
  ASSERT_EQ(train(config("bf16", {"run.steps=6"})), 0);
  ASSERT_EQ(train(fp8("all")), 0);
  ASSERT_EQ(train(fp8("forward", {"precision.products=[\"forward\"]"})), 0);
  EXPECT_EQ(following("none_pay", measured(0.9, 1.0, 0.5)), losses("bf16"));
  EXPECT_EQ(following("all_pay", measured(1.1, 1.01, 2)), losses("all"));
  EXPECT_EQ(following("one_pays", measured(1.1, 1, 0.99)), losses("forward"));
  EXPECT_NE(losses("forward"), losses("all"));
  // Some layers: what bf16 keeps is that of precision.high_precision.
  Fp8GemmBench some = measured(2, 2, 2);
  for (Fp8GemmRow& row : some.rows)
    if (row.shape.name == "down") row.with_quantizing_of_bf16 = 0.5;
  ASSERT_EQ(train(fp8("down", {"precision.high_precision=[\"mlp.down\"]"})), 0);
  EXPECT_EQ(following("some_pay", some), losses("down"));
}

TEST_F(FollowRun, TheNearestNumberOfTokensCounts) {
  Fp8GemmBench bench = measured(2, 2, 2);
  const int64_t tokens = bench.rows[0].tokens;
  for (const auto& [factor, gain] : {std::pair(int64_t{4}, 0.1), {int64_t{2}, 0.2}})
    for (size_t i = 0; i < 3; ++i) {
      bench.rows.push_back(bench.rows[i]);
      bench.rows.back().tokens = tokens * factor;
      bench.rows.back().with_quantizing_of_bf16 = gain;
    }
  const auto forward_at = [&](int64_t at) {
    const auto layers = read_measured_layers(table(bench), "block", at);
    const auto found = std::find_if(layers.begin(), layers.end(), [&](const MeasuredLayer& layer) {
      return layer.out == bench.rows[0].shape.out && layer.in == bench.rows[0].shape.in;
    });
    return found->forward;
  };
  EXPECT_EQ(forward_at(1), 2);
  EXPECT_EQ(forward_at(tokens * 2 - 1), 0.2);
  EXPECT_EQ(forward_at(tokens * 3), 0.2);
  EXPECT_EQ(forward_at(tokens * 100), 0.1);
}

TEST_F(FollowRun, TablesThatDoNotFitAreRefused) {
  EXPECT_THAT(refusal("nowhere.json"), HasSubstr("nothing of that name"));
  Fp8GemmBench bench = measured(2, 2, 2);
  std::erase_if(bench.rows, [](const Fp8GemmRow& row) { return row.shape.name == "down"; });
  EXPECT_THAT(refusal(table(bench)), HasSubstr("nothing of layers.0.mlp.down"));
  for (Fp8GemmRow& row : bench.rows) row.recipe = "row";
  EXPECT_THAT(refusal(table(bench)), HasSubstr("no layer that was measured with the recipe \"block\""));
  const std::string path = table(bench);
  std::ofstream(path) << "verse 1";
  EXPECT_THAT(refusal(path), HasSubstr("no JSON at byte 1"));
  std::ofstream(path) << R"({"bench": "adam", "rows": []})";
  EXPECT_THAT(refusal(path), HasSubstr("another JSON file"));
  std::ofstream(path) << R"({"bench": "gemm --fp8", "rows": [{"in": 0}]})";
  EXPECT_THAT(refusal(path), HasSubstr("is no size"));
}

}  // namespace
}  // namespace strata
