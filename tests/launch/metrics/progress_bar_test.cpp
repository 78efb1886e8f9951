// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/progress_bar.h"

#include <gtest/gtest.h>

namespace strata {
namespace {

TEST(ProgressBar, SaysShareSpeedAndTimeLeft) {
  ProgressBar bar;
  EXPECT_EQ(bar.line(0, 0, 0.0), "0 B  0 B/s");
  EXPECT_EQ(ProgressBar().line(0, 100, 0.0), "[                              ]   0%  0 B/s  0.0s left");
  EXPECT_EQ(ProgressBar().line(64 << 20, 256 << 20, 4.0),
            "[=======                       ]  25%  16 MiB/s  12s left");
  EXPECT_EQ(ProgressBar().line(100, 100, 1.0), "[==============================] 100%  100 B/s  0.0s left");
}

TEST(ProgressBar, IsDrawnTenTimesASecondAtMost) {
  ProgressBar bar;
  EXPECT_TRUE(bar.line(1, 9, 1.00));
  EXPECT_FALSE(bar.line(2, 9, 1.05));
  EXPECT_TRUE(bar.line(3, 9, 1.11));
}

}  // namespace
}  // namespace strata
