// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace strata {
namespace {

std::vector<double> all(const Ticks& ticks) {
  std::vector<double> values;
  for (int i = 0; i < ticks.count; ++i) values.push_back(ticks.at(i));
  return values;
}

TEST(NiceTicks, KnownAxes) {
  const struct {
    double low, high;
    int most;
    std::vector<double> ticks;
  } table[] = {{0, 10, 5, {0, 2, 4, 6, 8, 10}},    {1, 300, 6, {0, 50, 100, 150, 200, 250, 300}},
               {1.13, 5.6, 5, {1, 2, 3, 4, 5, 6}}, {0, 1, 2, {0, 0.5, 1}},
               {-3, 4, 5, {-4, -2, 0, 2, 4}},      {0, 3e-4, 5, {0, 1e-4, 2e-4, 3e-4}},
               {7, 7, 5, {6.6, 6.8, 7, 7.2, 7.4}}, {0, 0, 4, {-1, -0.5, 0, 0.5, 1}}};
  for (const auto& row : table)
    EXPECT_THAT(all(nice_ticks(row.low, row.high, row.most)),
                testing::Pointwise(testing::DoubleNear(1e-12), row.ticks))
        << row.low << " " << row.high;
}

TEST(NiceTicks, CoverTheRangeWithRoundSteps) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> unit(-1, 1);
  for (int i = 0; i < 5000; ++i) {
    const double low = unit(random) * std::pow(10, 6 * unit(random));
    const double high = low + std::pow(10, 9 * unit(random));
    const int most = 2 + i % 8;
    const Ticks ticks = nice_ticks(low, high, most);
    const double slack = 1e-6 * ticks.step;
    ASSERT_LE(ticks.first, low + slack);
    ASSERT_GE(ticks.last(), high - slack);
    ASSERT_LE(ticks.count, most + 1);
    ASSERT_GE(ticks.count, 2);
    const double mantissa = ticks.step / std::pow(10, std::floor(std::log10(ticks.step) + 1e-9));
    ASSERT_TRUE(std::abs(mantissa - 1) < 1e-6 || std::abs(mantissa - 2) < 1e-6 ||
                std::abs(mantissa - 5) < 1e-6);
  }
}

Curve curve_of(const std::vector<double>& values) {
  Curve curve;
  for (size_t i = 0; i < values.size(); ++i) curve.push_back({static_cast<double>(i), values[i]});
  return curve;
}
std::vector<double> values_of(const Curve& curve) {
  std::vector<double> values;
  for (const CurvePoint& p : curve) values.push_back(p.y);
  return values;
}

TEST(Smoothed, IsTheMeanOfTheNeighbours) {
  EXPECT_THAT(values_of(smoothed(curve_of({9, 1, 2, 6, 4, 8}), 1, HUGE_VAL)),
              testing::ElementsAre(9, 4, 3, 4, 6, 6));
  EXPECT_THAT(values_of(smoothed(curve_of({1, 2}), 0, HUGE_VAL)), testing::ElementsAre(1, 2));
  EXPECT_THAT(smoothed({}, 3, HUGE_VAL), testing::IsEmpty());
}

TEST(Smoothed, DoesNotBendASteepBeginning) {
  std::vector<double> line;
  for (int i = 0; i < 100; ++i) line.push_back(500 - 5 * i);
  const auto smooth = values_of(smoothed(curve_of(line), 10, HUGE_VAL));
  for (size_t i = 0; i + 10 < line.size(); ++i) EXPECT_DOUBLE_EQ(smooth[i], line[i]);
}

TEST(Smoothed, GapsStayAndDoNotSpread) {
  const auto smooth = values_of(smoothed(curve_of({1, 3, NAN, 5, 7}), 1, HUGE_VAL));
  EXPECT_EQ(smooth[1], 2);
  EXPECT_TRUE(std::isnan(smooth[2]));
  EXPECT_EQ(smooth[3], 6);
}

TEST(Smoothed, AnOutlierCountsAsTheLimit) {
  EXPECT_THAT(values_of(smoothed(curve_of({1, 1, 900, 1, 1}), 1, 4)), testing::ElementsAre(1, 2, 2, 2, 1));
}

TEST(OutlierLimit, IsThreeTimesAsHighAsUsualValues) {
  std::vector<double> values;
  for (int i = 0; i <= 200; ++i) values.push_back(1 + i / 200.0);  // 1..2, the 99th percentile is 1.99
  EXPECT_EQ(outlier_limit(values), HUGE_VAL);
  values[100] = 3.5;
  EXPECT_EQ(outlier_limit(values), HUGE_VAL);
  values[100] = 900;
  EXPECT_NEAR(outlier_limit(values), 1 + 3 * 0.99, 0.02);
  values.push_back(NAN);
  EXPECT_NEAR(outlier_limit(values), 1 + 3 * 0.99, 0.02);
  EXPECT_EQ(outlier_limit({}), HUGE_VAL);
  EXPECT_EQ(outlier_limit({2, 2, 2, 2}), HUGE_VAL);
}

TEST(Thinned, KeepsShortCurvesWhole) {
  const Curve curve = curve_of({1, 2, 3, 4});
  EXPECT_EQ(thinned(curve, 2), curve);
}

TEST(Thinned, KeepsEverySpikeInOrder) {
  std::mt19937 random(5);
  std::normal_distribution<double> noise;
  for (const size_t size : {11u, 1000u, 1001u, 99'991u}) {
    std::vector<double> values;
    for (size_t i = 0; i < size; ++i) values.push_back(noise(random));
    values[size / 3] = 1e6;
    values[size / 2] = -1e6;
    const Curve thin = thinned(curve_of(values), 5);
    EXPECT_LE(thin.size(), 10u);
    const auto kept = values_of(thin);
    EXPECT_THAT(kept, testing::Contains(1e6));
    EXPECT_THAT(kept, testing::Contains(-1e6));
    EXPECT_TRUE(std::is_sorted(thin.begin(), thin.end(), [](auto& a, auto& b) { return a.x < b.x; }));
    for (const CurvePoint& p : thin) EXPECT_EQ(values[static_cast<size_t>(p.x)], p.y);
  }
}

TEST(Thinned, ALongGapStaysAGap) {
  std::vector<double> values(1000, 1.0);
  std::fill(values.begin() + 300, values.begin() + 600, NAN);
  const auto thin = values_of(thinned(curve_of(values), 10));
  EXPECT_EQ(std::count_if(thin.begin(), thin.end(), [](double v) { return std::isnan(v); }), 3);
}

}  // namespace
}  // namespace strata
