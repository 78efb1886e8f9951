// SPDX-License-Identifier: Apache-2.0
// The ranks of a job as a grid of named axes, in two views of the same ranks: dense pp.dp.cp.tp and expert
// pp.edp.ep.etp. A pure function of sizes: nothing here communicates.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace strata {

// pp is outermost in both views: pipeline stages hold different blocks. Within a stage the last axis of each
// view runs fastest over the ranks.
enum class Axis : uint8_t { pp, dp, cp, tp, edp, ep, etp };
inline constexpr int kNumAxes = 7;
std::string_view name(Axis axis);

// How far apart two ranks are: the link their traffic takes. `rail` joins the same local place of two nodes.
enum class LinkLevel : uint8_t { self, pair, node, rail, world };
inline constexpr int kNumLinkLevels = 5;
std::string_view name(LinkLevel level);

struct MeshSizes {
  int pp = 1, dp = 1, cp = 1, tp = 1;
  int ep = 1, etp = 1;  // of the expert view; ep * etp must divide dp * cp * tp

  friend bool operator==(const MeshSizes&, const MeshSizes&) = default;
};

// Which ranks share which links, as nested sizes: ranks r with equal r / pair share a pair, equal r / node a
// node. Declared sizes may be virtual: one machine can play many nodes.
struct Topology {
  int pair = 1;  // must divide `node`; 1: no two ranks are closer than a node
  int node = 0;  // 0: the whole job is one node
};

class Mesh {
 public:
  Mesh() : Mesh(MeshSizes{}) {}
  // Throws ContractError when a size is below 1, or the expert view or the topology does not divide; a user's
  // numbers are checked before (parallel/preflight).
  explicit Mesh(const MeshSizes& sizes, const Topology& topology = {});

  int ranks() const { return ranks_; }
  int size(Axis axis) const { return sizes_[static_cast<size_t>(axis)]; }
  // Product of the sizes of some axes of one view.
  int size(std::span<const Axis> axes) const;
  int coordinate(int rank, Axis axis) const;

  // The ranks that differ from `rank` along `axes` (all of one view) only, ascending; `rank` is one of them.
  std::vector<int> group(int rank, std::initializer_list<Axis> axes) const {
    return group(rank, std::span(axes.begin(), axes.size()));
  }
  std::vector<int> group(int rank, std::span<const Axis> axes) const;
  // The rank at another coordinate of one axis; the other coordinates of that axis's view stay.
  int neighbour(int rank, Axis axis, int coordinate) const;

  LinkLevel link(int a, int b) const;
  // The farthest link between any two of them.
  LinkLevel level(std::span<const int> ranks) const;

  std::string describe(int rank) const;  // "rank 5 (pp 1, dp 0, cp 0, tp 1)": axes larger than 1

 private:
  int stride(Axis axis) const { return strides_[static_cast<size_t>(axis)]; }

  std::array<int, kNumAxes> sizes_{};
  std::array<int, kNumAxes> strides_{};
  int ranks_ = 1;
  Topology topology_;
};

}  // namespace strata
