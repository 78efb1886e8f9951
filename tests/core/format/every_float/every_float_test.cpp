// SPDX-License-Identifier: Apache-2.0
// Every float of either sign, in order: codes rise exactly where half the way to the next value is passed.
#include <gtest/gtest.h>

#include <bit>

#include "core/format/fp8.h"
#include "tests/support/fp8_table.h"

namespace strata {
namespace {

TEST(EveryFloat, IsRoundedToTheNearestCode) {
  for (const Fp8Format format : {Fp8Format::e4m3, Fp8Format::e5m2}) {
    const reference::Fp8Table table(format);
    int code = 0;
    for (uint32_t bits = 0; bits <= 0x7F800000u; ++bits) {
      const auto x = static_cast<double>(std::bit_cast<float>(bits));
      while (code < table.largest_code()) {
        const double middle = (table.value(code) + table.value(code + 1)) / 2;
        if (x < middle || (x == middle && code % 2 == 0)) break;
        ++code;
      }
      if (encode(format, std::bit_cast<float>(bits)) != code ||
          encode(format, std::bit_cast<float>(bits | 0x80000000u)) != code + 128)
        FAIL() << x;
    }
    EXPECT_EQ(code, table.largest_code());
    for (uint32_t bits = 0x7F800001u; bits < 0x80000000u; ++bits)
      if (!table.is_nan(encode(format, std::bit_cast<float>(bits))) ||
          !table.is_nan(encode(format, std::bit_cast<float>(bits | 0x80000000u))))
        FAIL() << bits;
  }
}

}  // namespace
}  // namespace strata
