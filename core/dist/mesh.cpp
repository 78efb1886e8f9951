// SPDX-License-Identifier: Apache-2.0
#include "core/dist/mesh.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {
namespace {

// Innermost first.
constexpr std::array kDenseView = {Axis::tp, Axis::cp, Axis::dp, Axis::pp};
constexpr std::array kExpertView = {Axis::etp, Axis::ep, Axis::edp, Axis::pp};

size_t index(Axis axis) { return static_cast<size_t>(axis); }

}  // namespace

std::string_view name(Axis axis) {
  constexpr std::array<std::string_view, kNumAxes> names = {"pp", "dp", "cp", "tp", "edp", "ep", "etp"};
  return names[index(axis)];
}

std::string_view name(LinkLevel level) {
  constexpr std::array<std::string_view, kNumLinkLevels> names = {"self", "pair", "node", "rail", "world"};
  return names[static_cast<size_t>(level)];
}

Mesh::Mesh(const MeshSizes& sizes, const Topology& topology) : topology_(topology) {
  const auto set = [&](Axis axis, int size) {
    check(size >= 1, "[mesh] axis {} has size {}", name(axis), size);
    sizes_[index(axis)] = size;
  };
  set(Axis::pp, sizes.pp);
  set(Axis::dp, sizes.dp);
  set(Axis::cp, sizes.cp);
  set(Axis::tp, sizes.tp);
  set(Axis::ep, sizes.ep);
  set(Axis::etp, sizes.etp);
  const int64_t stage = int64_t{sizes.dp} * sizes.cp * sizes.tp, experts = int64_t{sizes.ep} * sizes.etp;
  check(stage % experts == 0, "[mesh] ep {} x etp {} does not divide dp {} x cp {} x tp {} = {}", sizes.ep,
        sizes.etp, sizes.dp, sizes.cp, sizes.tp, stage);
  ranks_ = narrow<int>(stage * sizes.pp);
  set(Axis::edp, narrow<int>(stage / experts));

  for (const auto& view : {kDenseView, kExpertView}) {
    int stride = 1;
    for (const Axis axis : view) {
      strides_[index(axis)] = stride;
      stride *= size(axis);
    }
  }
  if (topology_.node == 0) topology_.node = static_cast<int>(round_up(ranks_, std::max(1, topology_.pair)));
  check(topology_.pair >= 1 && topology_.node >= 1 && topology_.node % topology_.pair == 0,
        "[mesh] pairs of {} do not divide nodes of {} ranks", topology.pair, topology.node);
}

int Mesh::size(std::span<const Axis> axes) const {
  int product = 1;
  for (const Axis axis : axes) product *= size(axis);
  return product;
}

int Mesh::coordinate(int rank, Axis axis) const {
  check(rank >= 0 && rank < ranks_, "[mesh] rank {} of {}", rank, ranks_);
  return rank / stride(axis) % size(axis);
}

std::vector<int> Mesh::group(int rank, std::span<const Axis> axes) const {
  const auto within = [&](const auto& view) {
    return std::ranges::all_of(axes, [&](Axis axis) { return std::ranges::find(view, axis) != view.end(); });
  };
  check(within(kDenseView) || within(kExpertView), "[mesh] a group along axes of different views");
  std::vector<int> ranks = {rank};
  for (size_t i = 0; i < axes.size(); ++i) {
    const Axis axis = axes[i];
    check(std::ranges::find(axes.first(i), axis) == axes.begin() + static_cast<std::ptrdiff_t>(i),
          "[mesh] a group names axis {} twice", name(axis));
    std::vector<int> wider;
    for (const int r : ranks)
      for (int c = 0; c < size(axis); ++c) wider.push_back(neighbour(r, axis, c));
    ranks = std::move(wider);
  }
  std::ranges::sort(ranks);
  return ranks;
}

int Mesh::neighbour(int rank, Axis axis, int coordinate) const {
  check(coordinate >= 0 && coordinate < size(axis), "[mesh] coordinate {} on axis {} of size {}", coordinate,
        name(axis), size(axis));
  return rank + (coordinate - this->coordinate(rank, axis)) * stride(axis);
}

LinkLevel Mesh::link(int a, int b) const {
  check(a >= 0 && a < ranks_ && b >= 0 && b < ranks_, "[mesh] link of ranks {} and {} of {}", a, b, ranks_);
  if (a == b) return LinkLevel::self;
  if (a / topology_.pair == b / topology_.pair) return LinkLevel::pair;
  if (a / topology_.node == b / topology_.node) return LinkLevel::node;
  return a % topology_.node == b % topology_.node ? LinkLevel::rail : LinkLevel::world;
}

LinkLevel Mesh::level(std::span<const int> ranks) const {
  // Links from the first rank are enough, so that groups of many thousands cost nothing: ranks that share a
  // pair or node with it share that among themselves, ranks on its rail that rail. But who shares its node
  // and who shares its rail are a world apart.
  LinkLevel farthest = LinkLevel::self;
  bool within_node = false;
  for (const int rank : ranks) {
    const LinkLevel level = link(ranks.front(), rank);
    within_node |= level == LinkLevel::pair || level == LinkLevel::node;
    farthest = std::max(farthest, level);
  }
  return farthest == LinkLevel::rail && within_node ? LinkLevel::world : farthest;
}

std::string Mesh::describe(int rank) const {
  std::string coordinates;
  for (int i = 0; i < kNumAxes; ++i) {
    const Axis axis = static_cast<Axis>(i);
    if (size(axis) == 1) continue;
    // Without experts the expert view says nothing that the dense one does not.
    if (axis == Axis::edp && size(Axis::ep) == 1 && size(Axis::etp) == 1) continue;
    coordinates +=
        fmt::format("{}{} {}", coordinates.empty() ? "" : ", ", name(axis), coordinate(rank, axis));
  }
  return coordinates.empty() ? fmt::format("rank {}", rank) : fmt::format("rank {} ({})", rank, coordinates);
}

}  // namespace strata
