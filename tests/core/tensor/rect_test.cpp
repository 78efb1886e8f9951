// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/rect.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/base/check.h"

namespace strata {
namespace {

// Every index of a box [0, size)^rank.
std::vector<std::vector<int64_t>> indices(int rank, int64_t size) {
  std::vector<std::vector<int64_t>> all{{}};
  for (int d = 0; d < rank; ++d) {
    std::vector<std::vector<int64_t>> longer;
    for (const auto& prefix : all)
      for (int64_t i = 0; i < size; ++i) {
        longer.push_back(prefix);
        longer.back().push_back(i);
      }
    all = longer;
  }
  return all;
}

// By the definition.
bool contains(const Rect& rect, const std::vector<int64_t>& index) {
  for (int d = 0; d < rect.begin.rank(); ++d)
    if (index[static_cast<size_t>(d)] < rect.begin[d] ||
        index[static_cast<size_t>(d)] >= rect.begin[d] + rect.extent[d])
      return false;
  return true;
}

TEST(Rect, WholeIsEveryElement) {
  const Rect rect = Rect::whole({3, 5});
  EXPECT_EQ(rect, (Rect{{0, 0}, {3, 5}}));
  EXPECT_EQ(rect.numel(), 15);
  EXPECT_EQ(Rect::whole({}).numel(), 1) << "a scalar has one element";
  EXPECT_EQ(Rect::whole({4, 0}).numel(), 0);
}

// All pairs of rectangles in a 4 x 4 box: the intersection holds exactly the elements of both, or is nothing.
TEST(Rect, IntersectionHoldsTheCommonElements) {
  std::vector<Rect> rects;
  for (int64_t r = 0; r < 4; ++r)
    for (int64_t c = 0; c < 4; ++c)
      for (int64_t h = 1; r + h <= 4; ++h)
        for (int64_t w = 1; c + w <= 4; ++w) rects.push_back({{r, c}, {h, w}});
  const auto box = indices(2, 4);
  for (const Rect& a : rects)
    for (const Rect& b : rects) {
      const std::optional<Rect> both = intersect(a, b);
      int64_t common = 0;
      for (const auto& index : box) {
        const bool in_both = contains(a, index) && contains(b, index);
        common += in_both;
        ASSERT_EQ(both && contains(*both, index), in_both);
      }
      ASSERT_EQ(both.has_value(), common > 0);
      if (both) {
        ASSERT_EQ(both->numel(), common);
      }
      ASSERT_EQ(both, intersect(b, a));
    }
}

TEST(Rect, IntersectionWithNothingIsNothing) {
  EXPECT_FALSE(intersect({{0, 0}, {4, 0}}, {{0, 0}, {4, 4}}));
  EXPECT_FALSE(intersect({{2, 0}, {2, 4}}, {{0, 0}, {2, 4}})) << "touching is not common";
  EXPECT_EQ(intersect(Rect::whole({}), Rect::whole({})), Rect::whole({}));
  EXPECT_THROW(intersect({{0}, {4}}, {{0, 0}, {4, 4}}), ContractError);
}

// The parts lie one after another and are all of it.
TEST(Rect, ShardsPartition) {
  const Rect rect{{2, 3}, {4, 12}};
  for (const int dim : {0, 1})
    for (const int64_t parts : {1, 2, 4}) {
      int64_t next = rect.begin[dim];
      for (int64_t part = 0; part < parts; ++part) {
        const Rect piece = shard(rect, dim, parts, part);
        EXPECT_EQ(piece.begin[dim], next);
        EXPECT_EQ(piece.extent[dim], rect.extent[dim] / parts);
        EXPECT_EQ(piece.begin[1 - dim], rect.begin[1 - dim]);
        EXPECT_EQ(piece.extent[1 - dim], rect.extent[1 - dim]);
        next += piece.extent[dim];
      }
      EXPECT_EQ(next, rect.begin[dim] + rect.extent[dim]);
    }
}

TEST(Rect, WhatDoesNotDivideIsRefused) {
  const Rect rect = Rect::whole({6, 4});
  EXPECT_THROW(shard(rect, 0, 4, 0), ContractError);
  EXPECT_THROW(shard(rect, 0, 0, 0), ContractError);
  EXPECT_THROW(shard(rect, 0, 2, 2), ContractError);
  EXPECT_THROW(shard(rect, 0, 2, -1), ContractError);
}

}  // namespace
}  // namespace strata
