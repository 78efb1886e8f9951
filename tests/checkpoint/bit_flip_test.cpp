// SPDX-License-Identifier: Apache-2.0
#include "tests/checkpoint/bit_flips.h"

namespace strata {
namespace {

TEST(BitFlipTest, FiveThousand) { flip_bits(5000, 1); }

}  // namespace
}  // namespace strata
