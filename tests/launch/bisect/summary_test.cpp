// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/summary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

namespace strata {
namespace {

using Values = std::vector<float>;

Values normal(size_t count, uint64_t seed, double scale = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> distribution(0, scale);
  Values values(count);
  for (float& value : values) value = static_cast<float>(distribution(random));
  return values;
}

void add(Summary& sum, const Values& values, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) sum.add(i, std::bit_cast<uint32_t>(values[i]), values[i]);
}
Summary summary(const Values& values) {
  Summary sum;
  add(sum, values, 0, values.size());
  return sum;
}

double true_distance(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum);
}

TEST(Summary, PartsAddUpToTheWholeInAnyOrder) {
  const Values x = normal(1000, 1);
  const Summary whole = summary(x);
  Summary first, second, third, sum;
  add(first, x, 0, 17);
  add(second, x, 17, 640);
  add(third, x, 640, 1000);
  for (const Summary* part : {&third, &first, &second}) sum.add(*part);
  EXPECT_TRUE(sum.same_bits(whole));
  EXPECT_EQ(sum.count, 1000);
  EXPECT_EQ(sum.min, whole.min);
  EXPECT_EQ(sum.max, whole.max);
  EXPECT_NEAR(sum.squares, whole.squares, 1e-12 * whole.squares);
  EXPECT_EQ(distance(sum, whole), 0);
}

TEST(Summary, EveryBitAndEveryPlaceCounts) {
  const Values x = normal(64, 2);
  const Summary sum = summary(x);
  for (size_t i = 0; i < x.size(); ++i)
    for (int bit = 0; bit < 32; bit += 5) {
      Values y = x;
      y[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(y[i]) ^ 1u << bit);
      ASSERT_FALSE(summary(y).same_bits(sum)) << i << " " << bit;
    }
  Values y = x;
  std::swap(y[3], y[40]);
  EXPECT_FALSE(summary(y).same_bits(sum));
  // The same values as other elements.
  Summary moved;
  for (size_t i = 0; i < x.size(); ++i) moved.add(i + 1, std::bit_cast<uint32_t>(x[i]), x[i]);
  EXPECT_EQ(distance(moved, sum), std::numeric_limits<double>::infinity());
}

TEST(Summary, DistanceIsEstimated) {
  double squares = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Values x = normal(2000, 10 + seed), noise = normal(2000, 1000 + seed, 1e-5);
    Values y = x;
    for (size_t i = 0; i < y.size(); ++i) y[i] += noise[i];
    const double ratio = distance(summary(x), summary(y)) / true_distance(x, y);
    EXPECT_GT(ratio, 0.3);
    EXPECT_LT(ratio, 2.0);
    squares += ratio * ratio;
  }
  EXPECT_NEAR(squares / 40, 1, 0.2);  // unbiased
  // Rows exchanged: sum, norm and extremes are the same, the distance is not small.
  const Values x = normal(2000, 3);
  Values y = x;
  std::ranges::rotate(y, y.begin() + 50);
  EXPECT_GT(distance(summary(x), summary(y)), 0.3 * true_distance(x, y));
}

TEST(Summary, OneElementIsMeasuredExactly) {
  const Values x = normal(2000, 4);
  for (const double by : {1e-3, 1.0, -7.0}) {
    Values y = x;
    y[1234] += static_cast<float>(by);
    EXPECT_NEAR(distance(summary(x), summary(y)), true_distance(x, y), 1e-9);
  }
}

TEST(Summary, NaNsAreCountedApart) {
  const Values x = normal(100, 5);
  Values y = x;
  y[7] = NAN;
  EXPECT_EQ(summary(y).non_finite, 1);
  EXPECT_TRUE(std::isfinite(summary(y).norm()));
  EXPECT_EQ(distance(summary(x), summary(y)), std::numeric_limits<double>::infinity());
  EXPECT_EQ(distance(summary(y), summary(y)), 0);
}

}  // namespace
}  // namespace strata
