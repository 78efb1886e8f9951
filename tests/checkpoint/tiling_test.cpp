// SPDX-License-Identifier: Apache-2.0
// The corner proof against counting every element, over random cuts and random damage.
#include "checkpoint/tiling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace strata {
namespace {

std::optional<TilingFault> by_counting(const Shape& shape, const std::vector<Rect>& rects) {
  Shape at;
  for (int d = 0; d < shape.rank(); ++d) at.append(0);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    int64_t rest = i;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      at.set(d, rest % shape[d]);
      rest /= shape[d];
    }
    int covered = 0;
    for (const Rect& rect : rects) {
      bool inside = true;
      for (int d = 0; d < shape.rank(); ++d)
        inside = inside && at[d] >= rect.begin[d] && at[d] < rect.begin[d] + rect.extent[d];
      covered += inside;
    }
    if (covered != 1) return TilingFault{at, covered};
  }
  return std::nullopt;
}

// Cuts a rectangle at random until nothing is cut.
void cut(const Rect& rect, std::mt19937& random, std::vector<Rect>& into) {
  const int rank = rect.extent.rank();
  const int d = rank ? static_cast<int>(random() % static_cast<unsigned>(rank)) : 0;
  if (rank == 0 || rect.extent[d] < 2 || random() % 4 == 0) return into.push_back(rect);
  const int64_t at = 1 + static_cast<int64_t>(random() % static_cast<unsigned>(rect.extent[d] - 1));
  Rect low = rect, high = rect;
  low.extent.set(d, at);
  high.begin.set(d, rect.begin[d] + at);
  high.extent.set(d, rect.extent[d] - at);
  cut(low, random, into);
  cut(high, random, into);
}

TEST(TilingTest, AgreesWithCounting) {
  std::mt19937 random(1);
  int good = 0, bad = 0;
  for (int round = 0; round < 3000; ++round) {
    Shape shape;
    for (unsigned d = random() % 4; d > 0; --d) shape.append(1 + static_cast<int64_t>(random() % 5));
    std::vector<Rect> rects;
    cut(Rect::whole(shape), random, rects);
    std::shuffle(rects.begin(), rects.end(), random);
    switch (random() % 5) {
      case 0:
        rects.pop_back();
        break;
      case 1:
        rects.push_back(rects[0]);
        break;
      case 2:  // as many elements as before, one rectangle twice and another not at all
        if (rects.size() > 1) rects[1] = rects[0];
        break;
      case 3:
        if (shape.rank() > 0 && rects[0].begin[0] > 0) rects[0].begin.set(0, rects[0].begin[0] - 1);
        break;
      default:
        break;
    }
    const auto expected = by_counting(shape, rects), got = find_tiling_fault(shape, rects);
    ASSERT_EQ(got.has_value(), expected.has_value()) << round;
    if (expected) {
      EXPECT_EQ(to_string(got->element), to_string(expected->element));
      EXPECT_EQ(got->covered, expected->covered);
    }
    ++(expected ? bad : good);
  }
  EXPECT_GT(good, 500);
  EXPECT_GT(bad, 500);
}

TEST(TilingTest, ManyFragmentsAreQuick) {
  std::vector<Rect> rects;
  for (int64_t i = 0; i < 100000; ++i) rects.push_back({{i, 0}, {1, 8}});
  EXPECT_FALSE(find_tiling_fault({100000, 8}, rects));
}

}  // namespace
}  // namespace strata
