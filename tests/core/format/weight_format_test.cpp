// SPDX-License-Identifier: Apache-2.0
// Block formats: the table of NF4 from the normal distribution itself, what encoding may be off by, and what
// is exact.
#include "core/format/weight_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/base/error.h"
#include "core/format/nf4.h"

namespace strata {
namespace {

// The x below which a normal variable lies with probability p, by bisection.
double quantile(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return low;
}

// Dettmers et al. 2023, appendix E, as their program makes it: eight quantiles above 0 and seven below,
// evenly spaced in probability from 1/2 to a bound that leaves the tails alike, 0 itself, all over the
// largest.
TEST(Nf4, TableIsOfTheNormalDistribution) {
  const double bound = 0.5 * ((1 - 1.0 / 32) + (1 - 1.0 / 30));  // 0.9677083
  std::vector<double> table{0};
  for (int i = 0; i < 8; ++i) table.push_back(quantile(bound + (0.5 - bound) * i / 8));
  for (int i = 0; i < 7; ++i) table.push_back(-quantile(bound + (0.5 - bound) * i / 7));
  std::sort(table.begin(), table.end());
  ASSERT_EQ(table.size(), 16U);
  for (int c = 0; c < 16; ++c)
    EXPECT_NEAR(nf4::value(c), table[static_cast<size_t>(c)] / table.back(), 1e-6) << c;
}

std::vector<float> decoded(WeightFormat format, const std::vector<float>& values) {
  const auto count = static_cast<int64_t>(values.size());
  std::vector<std::byte> blocks(static_cast<size_t>(encoded_bytes(format, count)));
  std::vector<float> back(values.size());
  encode_blocks(format, values.data(), count, blocks.data());
  decode_blocks(format, blocks.data(), count, back.data());
  return back;
}

std::vector<float> random_values(int64_t count) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

TEST(WeightFormat, Sizes) {
  EXPECT_EQ(encoded_bytes(WeightFormat::nf4, 128), 2 * (4 + 32));
  EXPECT_EQ(encoded_bytes(WeightFormat::int8, 128), 2 * (4 + 64));
}

// The value decoded is that of the table, times the factor, that is nearest: found by looking at all.
TEST(WeightFormat, Nf4RoundsToNearest) {
  const std::vector<float> values = random_values(64 * 40), back = decoded(WeightFormat::nf4, values);
  for (size_t block = 0; block < values.size(); block += 64) {
    double largest = 0;
    for (size_t i = block; i < block + 64; ++i)
      largest = std::max(largest, std::abs(static_cast<double>(values[i])));
    for (size_t i = block; i < block + 64; ++i) {
      double nearest = INFINITY;
      for (int c = 0; c < 16; ++c) nearest = std::min(nearest, std::abs(nf4::value(c) * largest - values[i]));
      EXPECT_NEAR(std::abs(static_cast<double>(back[i]) - values[i]), nearest, 1e-6 * largest);
      if (std::abs(values[i]) == largest) {
        EXPECT_EQ(back[i], values[i]);
      }
    }
  }
}

TEST(WeightFormat, Int8IsOffByHalfAFactorAtMost) {
  const std::vector<float> values = random_values(64 * 40), back = decoded(WeightFormat::int8, values);
  double squares = 0;
  for (size_t block = 0; block < values.size(); block += 64) {
    float largest = 0;
    for (size_t i = block; i < block + 64; ++i) largest = std::max(largest, std::abs(values[i]));
    for (size_t i = block; i < block + 64; ++i) {
      EXPECT_LE(std::abs(back[i] - values[i]), largest / 254 * 1.001f);
      squares += std::pow(back[i] - values[i], 2);
    }
  }
  EXPECT_GT(squares, 0);
}

TEST(WeightFormat, ZerosAndFactorsOfOtherBlocks) {
  for (const WeightFormat format : {WeightFormat::int8, WeightFormat::nf4}) {
    std::vector<float> values(128, 0.0f);
    values[3] = -1000;
    values[64] = 1e-30f;
    const std::vector<float> back = decoded(format, values);
    for (size_t i = 0; i < values.size(); ++i)
      EXPECT_FLOAT_EQ(back[i], values[i]) << name(format) << " " << i;
    values[100] = std::nanf("");
    EXPECT_THROW(decoded(format, values), Error);
    values[100] = INFINITY;
    EXPECT_THROW(decoded(format, values), Error);
  }
}

}  // namespace
}  // namespace strata
