// SPDX-License-Identifier: Apache-2.0
// The arena: nothing live overlaps, small stays small, and the longest-free gap is taken first.
#include "core/program/arena.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/core/program/random_programs.h"

namespace strata {
namespace {

using random_programs::draw;

TEST(Arena, LowestAddressFirst) {
  Arena arena(0);
  EXPECT_EQ(arena.place(1), 0);
  EXPECT_EQ(arena.place(64), 64);
  EXPECT_EQ(arena.place(65), 128);
  EXPECT_EQ(arena.place(0), 0) << "nothing takes no place";
  EXPECT_EQ(arena.high_water(), 256);
  arena.release(64, 64);
  EXPECT_EQ(arena.place(128), 256) << "the gap is too small";
  EXPECT_EQ(arena.place(10), 64);
  arena.release(0, 1);
  arena.release(64, 10);
  EXPECT_EQ(arena.place(128), 0) << "two neighbouring gaps are one";
  arena.release(256, 128);
  EXPECT_EQ(arena.place(640), 256) << "the last gap grows into untouched memory";
  EXPECT_EQ(arena.high_water(), 896);
}

TEST(Arena, LongestFreeGapWithinTheBudget) {
  Arena arena(64 * 4);
  EXPECT_EQ(arena.place(64), 0);
  EXPECT_EQ(arena.place(64), 64);
  arena.release(64, 64);
  EXPECT_EQ(arena.place(64), 128) << "untouched memory before reuse";
  EXPECT_EQ(arena.place(64), 192);
  arena.release(0, 64);
  arena.release(192, 64);
  EXPECT_EQ(arena.place(64), 64) << "freed first";
  EXPECT_EQ(arena.place(64), 0);
  EXPECT_EQ(arena.place(64), 192);
  EXPECT_EQ(arena.high_water(), 256);
  EXPECT_EQ(arena.place(64), 256) << "beyond the budget when there is no other way";
}

TEST(Arena, AWindowIsAsOldAsItsYoungestPart) {
  Arena arena(64 * 5);
  for (int i = 0; i < 5; ++i) arena.place(64);
  arena.release(0, 64);  // oldest, but its neighbour is the youngest
  arena.release(192, 64);
  arena.release(256, 64);
  arena.release(64, 64);
  EXPECT_EQ(arena.place(128), 192);
}

TEST(Arena, RandomUseNeverOverlaps) {
  random_programs::Random random(7);
  for (const int64_t budget : {int64_t{0}, int64_t{64 * 30}, int64_t{64 * 500}}) {
    Arena arena(budget);
    std::map<int64_t, int64_t> live;  // begin -> bytes
    int64_t peak = 0, now = 0;
    for (int i = 0; i < 5000; ++i) {
      if (live.empty() || (live.size() < 40 && random_programs::chance(random, 50))) {
        const int64_t bytes = draw(random, 1, 700);
        const int64_t begin = arena.place(bytes);
        ASSERT_EQ(begin % 64, 0);
        const auto after = live.lower_bound(begin);
        ASSERT_TRUE(after == live.end() || after->first >= begin + bytes);
        ASSERT_TRUE(after == live.begin() || std::prev(after)->first + std::prev(after)->second <= begin);
        live[begin] = bytes;
        ASSERT_LE(begin + bytes, arena.high_water());
        peak = std::max(peak, now += (bytes + 63) / 64 * 64);
      } else {
        const auto at = std::next(live.begin(), draw(random, 0, static_cast<int>(live.size()) - 1));
        arena.release(at->first, at->second);
        now -= (at->second + 63) / 64 * 64;
        live.erase(at);
      }
    }
    EXPECT_GE(arena.high_water(), peak);
    EXPECT_LE(arena.high_water(), std::max(budget, peak * 3 / 2)) << "fragmented";
  }
}

}  // namespace
}  // namespace strata
