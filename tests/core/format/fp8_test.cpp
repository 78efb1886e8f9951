// SPDX-License-Identifier: Apache-2.0
// 8-bit floats against tables made here from the text of OCP OFP8: all codes, all bf16 inputs, all places
// where rounding turns, special values, the chances of stochastic rounding, the formula of factors.
#include "core/format/fp8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <random>

#include "core/format/ue8m0.h"
#include "tests/support/fp8_table.h"

namespace strata {
namespace {

using reference::Fp8Table;

float from_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
float above(float x) { return std::nextafter(x, INFINITY); }
float below(float x) { return std::nextafter(x, -INFINITY); }

class Fp8 : public testing::TestWithParam<Fp8Format> {
 protected:
  Fp8Table table{GetParam()};

  void expect_encoded(float x) const {
    for (const float value : {x, -x}) {
      const int code = encode(GetParam(), value), expected = table.nearest(value);
      if (expected == Fp8Table::kNan)
        ASSERT_TRUE(table.is_nan(code)) << value << " gave " << code;
      else
        ASSERT_EQ(code, expected) << value;
    }
  }
};

TEST_P(Fp8, EveryCodeIsTheValueOfTheTable) {
  for (int code = 0; code < 256; ++code) {
    const float value = decode(GetParam(), static_cast<uint8_t>(code));
    if (table.is_nan(code)) {
      EXPECT_TRUE(std::isnan(value)) << code;
      continue;
    }
    EXPECT_EQ(value, table.value(code)) << code;
    EXPECT_EQ(std::signbit(value), code >= 128) << code;
    if (std::isfinite(value)) {
      EXPECT_EQ(encode(GetParam(), value), code);
    }
  }
  EXPECT_EQ(largest_finite(GetParam()), GetParam() == Fp8Format::e4m3 ? 448 : 57344);
}

TEST_P(Fp8, EveryBf16) {
  for (uint32_t bits = 0; bits < 0x8000; ++bits) expect_encoded(from_bits(bits << 16));
}

// Where rounding turns: half way between neighbours, and the floats beside it.
TEST_P(Fp8, HalfWayBetweenNeighbours) {
  for (int code = 0; code < table.largest_code(); ++code) {
    const auto middle = static_cast<float>((table.value(code) + table.value(code + 1)) / 2);
    for (const float x : {below(middle), middle, above(middle)}) expect_encoded(x);
  }
}

TEST_P(Fp8, WhatIsBeyondTheLargestBecomesThat) {
  const float largest = largest_finite(GetParam());
  for (const float x : {above(largest), largest * 1.03f, largest * 1.0358f, largest * 1.08f, largest * 2,
                        3.4e38f, std::numeric_limits<float>::infinity()})
    expect_encoded(x);
  EXPECT_EQ(encode(GetParam(), INFINITY), table.largest_code());
  for (const uint32_t bits : {0x7FC00000u, 0x7F800001u, 0x7FFFFFFFu}) expect_encoded(from_bits(bits));
  for (const float x : {0.0f, from_bits(1), from_bits(0x007FFFFF), from_bits(0x00800000)}) expect_encoded(x);
}

TEST_P(Fp8, RandomFloats) {
  std::mt19937 random(5);
  for (int i = 0; i < 1'000'000; ++i) expect_encoded(from_bits(random() & 0x7FFFFFFFu));
}

// Over all 65,536 patterns the mean is the number, to the 16 bits there are; values of the table stay.
TEST_P(Fp8, StochasticRoundingHasTheNumberAsMean) {
  const auto rounded = [&](float x, uint32_t bits) {
    return GetParam() == Fp8Format::e4m3 ? E4m3::stochastic_encode(x, bits)
                                         : E5m2::stochastic_encode(x, bits);
  };
  std::mt19937 random(9);
  std::vector<float> inputs{from_bits(1), 0x1.8p-20f, largest_finite(GetParam()) * 2};
  const int codes = table.largest_code();
  for (int i = 0; i < 40; ++i) {
    const int code = static_cast<int>(random() % static_cast<uint32_t>(codes));
    const double part = static_cast<double>(random() % 1000) / 1000;
    inputs.push_back(
        static_cast<float>(table.value(code) + part * (table.value(code + 1) - table.value(code))));
  }
  for (const float magnitude : inputs)
    for (const float x : {magnitude, -magnitude}) {
      const double wanted = std::min<double>(magnitude, largest_finite(GetParam()));
      int low = 0;
      while (low < codes && table.value(low + 1) <= wanted) ++low;
      const double gap = low < codes ? table.value(low + 1) - table.value(low) : 1;
      double sum = 0;
      for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const int code = rounded(x, bits);
        ASSERT_TRUE((code & 0x7F) == low || (code & 0x7F) == low + 1) << x << " gave " << code;
        ASSERT_EQ(code >= 128, x < 0);
        sum += table.value(code & 0x7F);
      }
      EXPECT_NEAR(sum / 65536, wanted, gap * 0x1p-16) << x;
    }
  for (int code = 0; code <= codes; ++code)
    for (const uint32_t bits : {0u, 1u, 0x8000u, 0xFFFFu})
      ASSERT_EQ(rounded(static_cast<float>(table.value(code)), bits), code) << bits;
  EXPECT_TRUE(table.is_nan(rounded(NAN, 0)));
}

INSTANTIATE_TEST_SUITE_P(Formats, Fp8, testing::Values(Fp8Format::e4m3, Fp8Format::e5m2),
                         [](const auto& info) { return info.param == Fp8Format::e4m3 ? "e4m3" : "e5m2"; });

TEST(Ue8m0, EveryCodeAndWhereRoundingTurns) {
  for (int code = 0; code < 255; ++code) {
    const float value = Ue8m0::decode(static_cast<uint8_t>(code));
    EXPECT_EQ(value, std::ldexp(1.0, code - 127)) << code;
    EXPECT_EQ(Ue8m0::encode(value), code);
    EXPECT_EQ(Ue8m0::encode_up(value), code);
    const int next = std::min(code + 1, 254);
    const auto middle = static_cast<float>(std::ldexp(1.5, code - 127));
    EXPECT_EQ(Ue8m0::encode(below(middle)), code);
    EXPECT_EQ(Ue8m0::encode(middle), next);
    EXPECT_EQ(Ue8m0::encode(above(middle)), next);
    EXPECT_EQ(Ue8m0::encode_up(above(value)), next);
    EXPECT_EQ(Ue8m0::encode_up(below(value)), code);
  }
  EXPECT_TRUE(std::isnan(Ue8m0::decode(255)));
  for (const float x : {-1.0f, INFINITY, -INFINITY, NAN, -NAN}) {
    EXPECT_EQ(Ue8m0::encode(x), 255) << x;
    EXPECT_EQ(Ue8m0::encode_up(x), 255) << x;
  }
  for (const float x : {0.0f, -0.0f, from_bits(1)}) {
    EXPECT_EQ(Ue8m0::encode(x), 0);
    EXPECT_EQ(Ue8m0::encode_up(x), 0);
  }
}

// The quotient is what double precision, rounded once, gives (exact: double has more than twice the bits).
TEST(Fp8Scale, IsTheQuotientRoundedOnce) {
  std::mt19937 random(11);
  for (int i = 0; i < 200'000; ++i) {
    const float amax = from_bits(random() % 0x7F800000u);
    const float largest = i % 2 == 0 ? 448.0f : 57344.0f;
    const Fp8Scale exact = scale_of(largest, amax, ScaleKind::f32),
                   pow2 = scale_of(largest, amax, ScaleKind::pow2);
    if (amax == 0) continue;
    const double quotient = static_cast<double>(largest) / static_cast<double>(amax);
    const float wanted = quotient > FLT_MAX ? FLT_MAX : static_cast<float>(quotient);
    ASSERT_EQ(exact.multiplier, wanted) << amax;
    ASSERT_EQ(exact.factor, static_cast<float>(1 / static_cast<double>(wanted))) << amax;
    ASSERT_EQ(pow2.multiplier, std::ldexp(1.0, std::ilogb(wanted))) << amax;
    ASSERT_EQ(static_cast<double>(pow2.multiplier) * static_cast<double>(pow2.factor), 1) << amax;
  }
  for (const float amax : {0.0f, INFINITY, NAN})
    for (const ScaleKind kind : {ScaleKind::f32, ScaleKind::pow2}) {
      EXPECT_EQ(scale_of(448, amax, kind).multiplier, 1);
      EXPECT_EQ(scale_of(448, amax, kind).factor, 1);
    }
  EXPECT_EQ(scale_of(448, from_bits(1), ScaleKind::f32).multiplier, FLT_MAX);
  EXPECT_EQ(scale_of(448, from_bits(1), ScaleKind::pow2).multiplier, 0x1p127f);
}

}  // namespace
}  // namespace strata
