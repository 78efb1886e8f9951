// SPDX-License-Identifier: Apache-2.0
// The kills of ../save_kill_test.cpp at length.
#include "tests/checkpoint/save_kills.h"

namespace strata {
namespace {

TEST(SaveKillTest, KilledTwentyTimesWhileSaving) {
  int in_the_midst = 0;
  kill_while_saving(7, 1, 11, in_the_midst);
  kill_while_saving(7, 2, 12, in_the_midst);
  kill_while_saving(6, 8, 13, in_the_midst);
  EXPECT_GT(in_the_midst, 5);
}

}  // namespace
}  // namespace strata
