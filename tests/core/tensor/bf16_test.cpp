// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace strata {
namespace {

// Every one of the 65536 codes is a float with 16 zero bits and comes back as itself.
TEST(Bf16, EveryCodeIsAFloatAndComesBack) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const float x = to_float(bf16{static_cast<uint16_t>(code)});
    ASSERT_EQ(std::bit_cast<uint32_t>(x), code << 16);
    if (std::isnan(x))
      ASSERT_EQ(to_bf16(x).bits, code | 0x40u) << "NaN becomes quiet and keeps its payload";
    else
      ASSERT_EQ(to_bf16(x).bits, code);
  }
}

// Between two neighbouring codes the middle is the border: below it the lower, above it the upper, on it the
// even one.
TEST(Bf16, RoundsToNearestEven) {
  for (uint32_t code = 0; code < 65536; ++code) {
    if ((code & 0x7F80u) == 0x7F80u) continue;  // infinities and NaN have no upper neighbour
    const uint32_t low = code << 16;
    const auto rounded = [&](uint32_t tail) { return to_bf16(std::bit_cast<float>(low | tail)).bits; };
    ASSERT_EQ(rounded(0x0001), code);
    ASSERT_EQ(rounded(0x7FFF), code);
    ASSERT_EQ(rounded(0x8000), code + (code & 1));
    ASSERT_EQ(rounded(0x8001), code + 1);
    ASSERT_EQ(rounded(0xFFFF), code + 1);
  }
}

TEST(Bf16, Extremes) {
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7F80) << "above the largest: infinity";
  EXPECT_EQ(to_bf16(-std::numeric_limits<float>::infinity()).bits, 0xFF80);
  EXPECT_EQ(to_bf16(-0.0f).bits, 0x8000);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::denorm_min()).bits, 0);
  // A NaN whose payload is in the low half only must not become infinity.
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7F800001u)))));
}

}  // namespace
}  // namespace strata
