// SPDX-License-Identifier: Apache-2.0
#include "tests/checkpoint/save_kills.h"

namespace strata {
namespace {

TEST(SaveKillTest, KilledWhileSaving) {
  int in_the_midst = 0;  // most are, but five promise nothing
  kill_while_saving(3, 1, 1, in_the_midst);
  kill_while_saving(2, 2, 2, in_the_midst);
}

}  // namespace
}  // namespace strata
