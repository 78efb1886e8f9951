// SPDX-License-Identifier: Apache-2.0
// Losses of pairs of responses and the weights of their tokens, against the formula in long double.
#include "core/ops/preference.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::to_matrix;

struct PreferenceCase {
  std::vector<int32_t> begin;  // as PreferenceLoss
  float smoothing;
  double reference;  // of the chosen one; 0 of the other
};

long double sigmoid(long double x) { return 1 / (1 + std::exp(-x)); }

TEST(PreferenceLoss, IsTheFormula) {
  constexpr int64_t kTokens = 400;
  constexpr float kBeta = 0.1f;
  for (const PreferenceCase& c :
       std::vector<PreferenceCase>{{{0, 1, 3}, 0, -1},
                                   {{2, 40, 200, 200, 300, 400}, 0, -30},
                                   {{0, 7, 90, 100, 230, 231}, 0.2f, 25},
                                   {{5, 10, 20}, 0.1f, -30000},  // far out on either side
                                   {{5, 10, 20}, 0.1f, 30000}}) {
    const auto pairs = std::ssize(c.begin) / 3;
    const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
      const Tensor nll = t.normal(DType::f32, {kTokens}, 0.5, 2);
      std::vector<double> reference;
      for (int64_t i = 0; i < pairs; ++i) reference.insert(reference.end(), {c.reference, 0.0});
      const Tensor losses = t.uninitialised(DType::f32, {pairs}),
                   weight = t.uninitialised(DType::f32, {kTokens}),
                   alone = t.uninitialised(DType::f32, {pairs});
      PreferenceLoss args{.spec = {.on = true, .beta = kBeta, .smoothing = c.smoothing},
                          .nll = nll,
                          .begin = t.ids(c.begin),
                          .reference = t.numbers(DType::f32, {2 * pairs}, reference),
                          .losses = losses,
                          .weight = weight};
      preference_loss(stream, args);
      args.losses = alone;
      args.weight = {};
      preference_loss(stream, args);
      return std::vector{nll, losses, weight, alone};
    });
    EXPECT_TRUE(bytes_of(got[3]) == bytes_of(got[1])) << "the weight is optional";
    std::vector<double> weights(kTokens, 0.0);
    const auto sum = [&](int32_t begin, int32_t end) {
      long double total = 0;
      for (int32_t t = begin; t < end; ++t) total += static_cast<long double>(got[0].data<float>()[t]);
      return total;
    };
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const int32_t* const at = c.begin.data() + 3 * pair;
      const long double h =
          static_cast<long double>(kBeta) *
          ((-sum(at[0], at[1]) - static_cast<long double>(c.reference)) + sum(at[1], at[2]));
      const long double smoothing = static_cast<long double>(c.smoothing);
      const long double rest = std::log1p(std::exp(-std::abs(h)));
      const long double loss =
          (1 - smoothing) * (std::max(-h, 0.0l) + rest) + smoothing * (std::max(h, 0.0l) + rest);
      const long double slope = -(1 - smoothing) * sigmoid(-h) + smoothing * sigmoid(h);
      EXPECT_NEAR(got[1].data<float>()[pair], static_cast<double>(loss),
                  1e-7 * static_cast<double>(loss) + 1e-30);
      for (int32_t t = at[0]; t < at[2]; ++t)
        weights[static_cast<size_t>(t)] =
            static_cast<double>(static_cast<long double>(kBeta) * slope) * (t < at[1] ? -1 : 1);
    }
    for (int64_t t = 0; t < kTokens; ++t)
      EXPECT_NEAR(got[2].data<float>()[t], weights[static_cast<size_t>(t)],
                  1e-7 * std::abs(weights[static_cast<size_t>(t)]))
          << t;
  }
}

}  // namespace
}  // namespace strata
