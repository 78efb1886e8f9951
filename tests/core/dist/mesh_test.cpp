// SPDX-License-Identifier: Apache-2.0
#include "core/dist/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/check.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::array kDense = {Axis::pp, Axis::dp, Axis::cp, Axis::tp};
constexpr std::array kExpert = {Axis::pp, Axis::edp, Axis::ep, Axis::etp};

std::vector<MeshSizes> meshes() {
  std::vector<MeshSizes> all;
  for (const int pp : {1, 2, 3})
    for (const int dp : {1, 2, 4})
      for (const int cp : {1, 2})
        for (const int tp : {1, 2, 3})
          for (const int ep : {1, 2, 4, 6})
            for (const int etp : {1, 2})
              if (dp * cp * tp % (ep * etp) == 0) all.push_back({pp, dp, cp, tp, ep, etp});
  return all;
}

// Counted out axis by axis, outermost slowest, as the layout is written: pp.dp.cp.tp and pp.edp.ep.etp.
TEST(Mesh, CoordinatesAreTheOdometerOfEachView) {
  for (const MeshSizes& sizes : meshes()) {
    const Mesh mesh(sizes);
    ASSERT_EQ(mesh.ranks(), sizes.pp * sizes.dp * sizes.cp * sizes.tp);
    for (const auto& view : {kDense, kExpert}) {
      int rank = 0;
      for (int a = 0; a < mesh.size(view[0]); ++a)
        for (int b = 0; b < mesh.size(view[1]); ++b)
          for (int c = 0; c < mesh.size(view[2]); ++c)
            for (int d = 0; d < mesh.size(view[3]); ++d, ++rank) {
              EXPECT_EQ(mesh.coordinate(rank, view[0]), a);
              EXPECT_EQ(mesh.coordinate(rank, view[1]), b);
              EXPECT_EQ(mesh.coordinate(rank, view[2]), c);
              EXPECT_EQ(mesh.coordinate(rank, view[3]), d);
            }
      EXPECT_EQ(rank, mesh.ranks());
    }
  }
}

TEST(Mesh, AGroupIsTheRanksThatAgreeOnEveryOtherAxis) {
  for (const MeshSizes& sizes : meshes()) {
    const Mesh mesh(sizes);
    for (const auto& view : {kDense, kExpert})
      for (int subset = 0; subset < 16; ++subset) {
        std::vector<Axis> axes;
        for (int i = 3; i >= 0; --i)  // any order of the axes means the same group
          if (subset >> i & 1) axes.push_back(view[static_cast<size_t>(i)]);
        for (int rank = 0; rank < mesh.ranks(); ++rank) {
          std::vector<int> expected;
          for (int other = 0; other < mesh.ranks(); ++other) {
            bool agrees = true;
            for (int i = 0; i < 4; ++i) {
              const Axis axis = view[static_cast<size_t>(i)];
              agrees &= (subset >> i & 1) || mesh.coordinate(rank, axis) == mesh.coordinate(other, axis);
            }
            if (agrees) expected.push_back(other);
          }
          ASSERT_EQ(mesh.group(rank, axes), expected) << mesh.describe(rank) << " subset " << subset;
          ASSERT_EQ(mesh.size(axes), static_cast<int>(expected.size()));
        }
      }
  }
}

TEST(Mesh, NeighboursDifferInOneCoordinate) {
  const Mesh mesh({.pp = 2, .dp = 3, .cp = 2, .tp = 2, .ep = 6});
  for (int rank = 0; rank < mesh.ranks(); ++rank)
    for (const auto& view : {kDense, kExpert})
      for (const Axis moved : view)
        for (int to = 0; to < mesh.size(moved); ++to) {
          const int other = mesh.neighbour(rank, moved, to);
          for (const Axis axis : view)
            EXPECT_EQ(mesh.coordinate(other, axis), axis == moved ? to : mesh.coordinate(rank, axis));
        }
}

TEST(Mesh, KnownLayout) {
  const Mesh mesh({.pp = 2, .dp = 2, .tp = 2, .ep = 2});
  EXPECT_EQ(mesh.size(Axis::edp), 2);
  EXPECT_THAT(mesh.group(5, {Axis::tp}), ElementsAre(4, 5));
  EXPECT_THAT(mesh.group(5, {Axis::dp}), ElementsAre(5, 7));
  EXPECT_THAT(mesh.group(5, {Axis::pp}), ElementsAre(1, 5));
  EXPECT_THAT(mesh.group(5, {Axis::ep}), ElementsAre(4, 5));
  EXPECT_THAT(mesh.group(5, {Axis::edp}), ElementsAre(5, 7));
  EXPECT_THAT(mesh.group(5, {Axis::dp, Axis::tp}), ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(mesh.describe(5), "rank 5 (pp 1, dp 0, tp 1, edp 0, ep 1)");
  EXPECT_EQ(Mesh({.tp = 2}).describe(1), "rank 1 (tp 1)");
  EXPECT_EQ(Mesh().describe(0), "rank 0");
}

TEST(Mesh, LinksFollowTheDeclaredTopology) {
  const Mesh mesh({.dp = 16}, {.pair = 2, .node = 8});
  EXPECT_EQ(mesh.link(3, 3), LinkLevel::self);
  EXPECT_EQ(mesh.link(2, 3), LinkLevel::pair);
  EXPECT_EQ(mesh.link(1, 2), LinkLevel::node);
  EXPECT_EQ(mesh.link(1, 9), LinkLevel::rail);
  EXPECT_EQ(mesh.link(1, 10), LinkLevel::world);
  EXPECT_EQ(mesh.level(std::vector{4}), LinkLevel::self);
  EXPECT_EQ(mesh.level(std::vector{4, 5}), LinkLevel::pair);
  EXPECT_EQ(mesh.level(std::vector{4, 5, 6}), LinkLevel::node);
  EXPECT_EQ(mesh.level(std::vector{4, 12}), LinkLevel::rail);
  EXPECT_EQ(mesh.level(std::vector{4, 12, 13}), LinkLevel::world);
  for (int a = 0; a < 16; ++a)
    for (int b = 0; b < 16; ++b) EXPECT_EQ(mesh.link(a, b), mesh.link(b, a));
  EXPECT_EQ(Mesh({.dp = 6}).link(0, 5), LinkLevel::node);
  EXPECT_EQ(Mesh({.dp = 5}, {.pair = 2}).link(0, 4), LinkLevel::node);
  EXPECT_EQ(Mesh({.dp = 5}, {.pair = 2}).link(2, 3), LinkLevel::pair);
}

// The level of a group is the farthest link of any two: every group of twelve ranks.
TEST(Mesh, LevelsAreThoseOfTheFarthestTwo) {
  for (const Topology& topology : {Topology{.pair = 2, .node = 4}, {.pair = 1, .node = 3}, {.pair = 3}, {}}) {
    const Mesh mesh({.dp = 12}, topology);
    for (unsigned set = 1; set < 1u << 12; ++set) {
      std::vector<int> ranks;
      for (int rank = 0; rank < 12; ++rank)
        if (set >> rank & 1) ranks.push_back(rank);
      std::rotate(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(set % ranks.size()),
                  ranks.end());
      LinkLevel farthest = LinkLevel::self;
      for (const int a : ranks)
        for (const int b : ranks) farthest = std::max(farthest, mesh.link(a, b));
      ASSERT_EQ(mesh.level(ranks), farthest) << testing::PrintToString(ranks);
    }
  }
}

TEST(Mesh, RefusesWhatDoesNotDivide) {
  EXPECT_THROW(Mesh({.dp = 0}), ContractError);
  EXPECT_THROW(Mesh({.dp = 4, .ep = 3}), ContractError);
  EXPECT_THROW(Mesh({.dp = 4}, {.pair = 2, .node = 3}), ContractError);
  EXPECT_THROW(Mesh({.dp = 4}, {.pair = -1}), ContractError);
  const Mesh mesh({.dp = 4, .tp = 2, .ep = 4});
  EXPECT_THROW(mesh.group(0, {Axis::dp, Axis::ep}), ContractError);
  EXPECT_THROW(mesh.group(0, {Axis::dp, Axis::dp}), ContractError);
  EXPECT_THROW(mesh.coordinate(8, Axis::dp), ContractError);
  EXPECT_THROW(mesh.neighbour(0, Axis::dp, 4), ContractError);
  try {
    Mesh({.dp = 4, .ep = 3});
  } catch (const ContractError& error) {
    EXPECT_THAT(error.what(), HasSubstr("ep 3 x etp 1 does not divide dp 4 x cp 1 x tp 1 = 4"));
  }
}

}  // namespace
}  // namespace strata
