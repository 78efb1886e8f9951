// SPDX-License-Identifier: Apache-2.0
#include "tests/checkpoint/bit_flips.h"

namespace strata {
namespace {

TEST(BitFlipTest, AHundredThousand) { flip_bits(100000, 2); }

}  // namespace
}  // namespace strata
