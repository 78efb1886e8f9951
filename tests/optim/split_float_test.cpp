// SPDX-License-Identifier: Apache-2.0
#include "optim/split_float.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/tensor/bf16.h"
#include "optim/canonical.h"

namespace strata {
namespace {

float from_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
uint32_t to_bits(float x) { return std::bit_cast<uint32_t>(x); }
float high_value(float x) { return to_float(bf16{split_float(x).high}); }

// Every sign, exponent and upper mantissa with the lower halves where something changes, then random ones.
template <typename Visit>
void for_many_floats(Visit visit) {
  for (uint32_t upper = 0; upper < 0x10000; ++upper)
    for (const uint32_t lower : {0x0000u, 0x0001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu})
      visit(from_bits(upper << 16 | lower));
  std::mt19937 random(7);
  for (int i = 0; i < 1'000'000; ++i) visit(from_bits(static_cast<uint32_t>(random())));
}

TEST(SplitFloat, ComesBackForEveryPattern) {
  int64_t wrong = 0;
  for_many_floats([&](float x) { wrong += to_bits(join_float(split_float(x))) != to_bits(x); });
  EXPECT_EQ(wrong, 0);
}

TEST(SplitFloat, HalvesAreThoseOfTheDesign) {
  int64_t wrong = 0;
  for_many_floats([&](float x) {
    const uint32_t hi = (to_bits(x) + 0x8000u) >> 16;
    const auto lo = static_cast<int16_t>(to_bits(x) - (hi << 16));
    wrong += split_float(x).high != static_cast<uint16_t>(hi) || split_float(x).low != lo;
  });
  EXPECT_EQ(wrong, 0);
}

TEST(SplitFloat, TheHighHalfIsANearestBf16) {
  int64_t wrong = 0;
  for_many_floats([&](float x) {
    if (std::isnan(x) || std::abs(x) >= from_bits(0x7F7F8000u)) return;
    const double error = std::abs(static_cast<double>(high_value(x)) - static_cast<double>(x));
    const double nearest = std::abs(static_cast<double>(to_float(to_bf16(x))) - static_cast<double>(x));
    wrong += error != nearest || std::signbit(high_value(x)) != std::signbit(x);
  });
  EXPECT_EQ(wrong, 0);
}

TEST(SplitFloat, Edges) {
  EXPECT_EQ(split_float(0.0f).high, 0x0000);
  EXPECT_EQ(split_float(-0.0f).high, 0x8000);
  EXPECT_EQ(split_float(from_bits(0x3F808000u)).high,
            0x3F81);  // a tie goes away from zero, to_bf16 sends it to even
  EXPECT_EQ(to_bf16(from_bits(0x3F808000u)).bits, 0x3F80);
  EXPECT_EQ(split_float(from_bits(0x3F808000u)).low, -32768);
  EXPECT_EQ(split_float(from_bits(0x3F807FFFu)).low, 32767);
  // The largest finite values show as Inf from half a bf16 step above the largest bf16, as to_bf16 has it.
  EXPECT_EQ(high_value(from_bits(0x7F7F7FFFu)), to_float(bf16{0x7F7F}));
  EXPECT_TRUE(std::isinf(high_value(from_bits(0x7F7F8000u))));
  EXPECT_TRUE(std::isinf(to_float(to_bf16(from_bits(0x7F7F8000u)))));
  EXPECT_TRUE(std::isinf(high_value(std::numeric_limits<float>::max())));
  EXPECT_EQ(high_value(-std::numeric_limits<float>::infinity()), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(high_value(canonical_nan(std::numeric_limits<float>::signaling_NaN()))));
}

TEST(Canonical, OneNanAndNothingElseChanges) {
  int64_t wrong = 0;
  for_many_floats(
      [&](float x) { wrong += to_bits(canonical_nan(x)) != (std::isnan(x) ? 0x7FC00000u : to_bits(x)); });
  EXPECT_EQ(wrong, 0);
}

TEST(Canonical, RoundsAsToBf16) {
  int64_t wrong = 0;
  for_many_floats([&](float x) {
    x = canonical_nan(x);
    wrong +=
        bf16_bits(x) != to_bf16(x).bits || to_bits(bf16_value(bf16_bits(x))) != to_bits(to_float(to_bf16(x)));
  });
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace strata
