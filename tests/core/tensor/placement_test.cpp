// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/placement.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/base/check.h"

namespace strata {
namespace {

constexpr AxisPlacement kReplicate{};
constexpr AxisPlacement kPartial{AxisPlacement::Kind::partial};
constexpr AxisPlacement shard_of(int8_t dim) { return {AxisPlacement::Kind::shard, dim}; }

// Every coordinate of a mesh, the last axis running fastest.
std::vector<std::vector<int64_t>> coordinates(const std::vector<int64_t>& sizes) {
  std::vector<std::vector<int64_t>> all{{}};
  for (const int64_t size : sizes) {
    std::vector<std::vector<int64_t>> longer;
    for (const auto& outer : all)
      for (int64_t i = 0; i < size; ++i) {
        longer.push_back(outer);
        longer.back().push_back(i);
      }
    all = longer;
  }
  return all;
}

TEST(Placement, OneRankHoldsTheWhole) {
  EXPECT_EQ(local_rect({6, 4}, {}, {}, {}), Rect::whole({6, 4}));
  EXPECT_EQ(local_rect({6, 4}, {{shard_of(0)}}, {1}, {0}), Rect::whole({6, 4}));
}

TEST(Placement, ReplicatedAndPartialAxesCutNothing) {
  for (const auto& at : coordinates({2, 3}))
    EXPECT_EQ(local_rect({6, 4}, {{kReplicate, kPartial}}, {2, 3}, at), Rect::whole({6, 4}));
}

// Every combination of kinds on a mesh of 2 x 3 x 2: each element is held as many times as the axes that do
// not cut it have ranks.
TEST(Placement, TheRanksHoldEveryElementEquallyOften) {
  const Shape shape{12, 24};
  const std::vector<int64_t> sizes{2, 3, 2};
  const AxisPlacement kinds[] = {kReplicate, kPartial, shard_of(0), shard_of(1)};
  for (const AxisPlacement& a : kinds)
    for (const AxisPlacement& b : kinds)
      for (const AxisPlacement& c : kinds) {
        const Placement placement{{a, b, c}};
        int64_t copies = 1;
        for (size_t axis = 0; axis < 3; ++axis)
          if (placement.axes[axis].kind != AxisPlacement::Kind::shard) copies *= sizes[axis];
        std::vector<int64_t> held(static_cast<size_t>(shape.numel()));
        for (const auto& at : coordinates(sizes)) {
          const Rect rect = local_rect(shape, placement, sizes, at);
          for (int64_t i = 0; i < rect.extent[0]; ++i)
            for (int64_t j = 0; j < rect.extent[1]; ++j)
              ++held.at(static_cast<size_t>((rect.begin[0] + i) * shape[1] + rect.begin[1] + j));
        }
        for (const int64_t times : held) ASSERT_EQ(times, copies) << to_string(placement);
      }
}

TEST(Placement, TheOuterAxisCutsFirst) {
  const Placement both{{shard_of(0), shard_of(0)}};
  int64_t next = 0;
  for (const auto& at : coordinates({2, 3})) {
    EXPECT_EQ(local_rect({12, 5}, both, {2, 3}, at), (Rect{{next, 0}, {2, 5}}));
    next += 2;
  }
}

TEST(Placement, WhatDoesNotFitIsRefused) {
  EXPECT_THROW(local_rect({6, 4}, {{shard_of(1)}}, {3}, {0}), ContractError) << "4 columns over 3 ranks";
  EXPECT_THROW(local_rect({6, 4}, {{shard_of(2)}}, {2}, {0}), ContractError) << "no such dim";
  EXPECT_THROW(local_rect({6, 4}, {{shard_of(0)}}, {2}, {2}), ContractError) << "outside the mesh";
  EXPECT_THROW(local_rect({6, 4}, {{shard_of(0)}}, {2, 2}, {0, 0}), ContractError)
      << "an axis without a placement";
  EXPECT_THROW(local_rect({6, 4}, {{shard_of(0)}}, {2}, {}), ContractError) << "no coordinate";
}

TEST(Placement, Text) {
  EXPECT_EQ(to_string(Placement{{shard_of(0), kReplicate, kPartial}}), "shard(0) replicate partial");
}

}  // namespace
}  // namespace strata
