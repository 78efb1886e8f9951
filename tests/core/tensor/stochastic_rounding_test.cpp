// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/stochastic_rounding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace strata {
namespace {

constexpr RandomKey kKey{.seed = 42, .stream = 0x0123456789ABCDEFull, .step = 3};

// The bf16 of next smaller and next larger magnitude, by ldexp in double: independent of bit patterns.
struct Neighbours {
  double below, above;
};
Neighbours neighbours(float x) {
  const double magnitude = std::fabs(static_cast<double>(x));
  // Eight bits of significand down to the smallest normal exponent, then a fixed step.
  const int exponent = magnitude == 0 ? -126 : std::max(std::ilogb(magnitude), -126);
  const double step = std::ldexp(1.0, exponent - 7);
  const double below = std::floor(magnitude / step) * step;
  return {std::copysign(below, x), std::copysign(below == magnitude ? below : below + step, x)};
}
double value(bf16 x) { return static_cast<double>(to_float(x)); }

TEST(StochasticRound, EveryDrawGivesANeighbourWithItsProbability) {
  const float smallest = std::numeric_limits<float>::denorm_min();
  for (const float x : {1.0039f, -1.0001f, 3.14159f, -0.1f, 1e30f, 1e-30f, std::nextafter(2.0f, 1.0f), 1e-39f,
                        -3e-40f, smallest, std::ldexp(1.75f, -126)}) {
    const auto [below, above] = neighbours(x);
    int64_t up = 0;
    for (uint32_t bits = 0; bits < 65536; ++bits) {  // all draws there are
      const double got = value(stochastic_round(x, bits));
      ASSERT_TRUE(got == below || got == above) << x << " to " << got << ", not " << below << " or " << above;
      up += got == above;
    }
    const double wanted = below == above ? 65536 : (static_cast<double>(x) - below) / (above - below) * 65536;
    EXPECT_EQ(static_cast<double>(up), wanted) << x;  // exact: 16 bits are dropped
  }
}

TEST(StochasticRound, ExactValuesInfinitiesAndNanStay) {
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    const float x = to_float(bf16{static_cast<uint16_t>(pattern)});
    for (const uint32_t bits : {0u, 1u, 0x7FFFu, 0x8000u, 0xFFFFu}) {
      const bf16 got = stochastic_round(x, bits);
      if (std::isnan(x))
        EXPECT_TRUE(std::isnan(to_float(got)) && (got.bits & 0x40u)) << pattern;
      else
        ASSERT_EQ(got.bits, pattern) << bits;
    }
  }
  // NaN whose payload lies in the half that is dropped alone.
  for (const uint32_t pattern : {0x7F800001u, 0xFF800001u, 0x7F80FFFFu, 0xFFFFFFFFu})
    for (const uint32_t bits : {0u, 0xFFFFu})
      EXPECT_TRUE(std::isnan(to_float(stochastic_round(std::bit_cast<float>(pattern), bits)))) << pattern;
}

TEST(StochasticRound, NothingFiniteBecomesInfinite) {
  const float largest = std::numeric_limits<float>::max();
  const double most = value(bf16{0x7F7F});
  for (const float x : {largest, std::nextafter(largest, 0.0f), std::bit_cast<float>(0x7F7F0001u)})
    for (const uint32_t bits : {0u, 1u, 0x8000u, 0xFFFFu}) {
      EXPECT_EQ(value(stochastic_round(x, bits)), most);
      EXPECT_EQ(value(stochastic_round(-x, bits)), -most);
    }
  EXPECT_EQ(value(stochastic_round(std::bit_cast<float>(0x7F7E8000u), 0xFFFFu)), most);
}

// The mean over 2^20 elements of one value is that value, within three standard deviations of the mean; so
// are the means over steps and over tensors of one element.
TEST(StochasticRound, MeansOfDrawsAreUnbiased) {
  constexpr uint64_t kCount = 1 << 20;
  for (const float x : {1.001f, -0.3f, 7.77e-39f}) {
    const auto [below, above] = neighbours(x);
    const double p = (static_cast<double>(x) - below) / (above - below);
    const double allowed = 3 * std::sqrt(p * (1 - p) / kCount);
    double over_elements = 0, over_steps = 0, over_tensors = 0;
    for (uint64_t i = 0; i < kCount; ++i) {
      RandomKey step = kKey, tensor = kKey;
      step.step = static_cast<uint32_t>(i);
      tensor.stream = i * 0x9E3779B97F4A7C15ull;
      over_elements += value(stochastic_round(x, kKey, i)) == above;
      over_steps += value(stochastic_round(x, step, 5)) == above;
      over_tensors += value(stochastic_round(x, tensor, 5)) == above;
    }
    EXPECT_NEAR(over_elements / kCount, p, allowed) << x;
    EXPECT_NEAR(over_steps / kCount, p, allowed) << x;
    EXPECT_NEAR(over_tensors / kCount, p, allowed) << x;
  }
}

// Pieces of a block must not be used twice: draws of elements at any small distance do not go together.
TEST(StochasticRound, NeighbouringElementsAreIndependent) {
  constexpr int64_t kCount = 1 << 18;
  std::vector<double> draws;
  for (uint64_t i = 0; i < kCount + 16; ++i)
    draws.push_back(rounding_bits(random_block(kKey, i / kRoundingsPerBlock), i) / 65536.0 - 0.5);
  for (int64_t distance = 1; distance <= 16; ++distance) {
    double sum = 0;
    for (size_t i = 0; i < kCount; ++i) sum += draws[i] * draws[i + static_cast<size_t>(distance)];
    // A product of two uniform numbers has a standard deviation of 1/12.
    EXPECT_NEAR(sum / kCount, 0, 4 / 12.0 / std::sqrt(kCount)) << distance;
  }
}

}  // namespace
}  // namespace strata
