// SPDX-License-Identifier: Apache-2.0
#include "core/step/state_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace strata {

StateGroups::StateGroups(World& world, const Mesh& mesh, const Partition& partition,
                         std::span<const int> peers)
    : partition_(partition) {
  const int rank = world.rank();
  const std::vector<int> data = mesh.group(rank, {Axis::dp, Axis::cp});
  data_rank_ = static_cast<int>(std::find(data.begin(), data.end(), rank) - data.begin());
  pipeline_rank_ = mesh.coordinate(rank, Axis::pp);
  check(static_cast<int>(data.size()) == partition.data_ranks(),
        "[groups] a partition of {} data ranks, the mesh has {}", partition.data_ranks(), data.size());

  const auto make = [&](std::string purpose, std::vector<int> members) {
    const LinkLevel level = mesh.level(members);
    return world.group({std::move(purpose), std::move(members), level});
  };
  const auto of_data = [&](const std::vector<int>& data_ranks) {
    std::vector<int> members;
    for (const int r : data_ranks) members.push_back(data[static_cast<size_t>(r)]);
    return members;
  };
  // The hops a program may take: whole to weights, whole to gradients, gradients to state, and one level back
  // at a time. Every rank makes the same ones in the same order.
  for (int from = 0; from < partition.num_levels(); ++from)
    for (int to = from + 1; to < partition.num_levels(); ++to)
      between_[{from, to}] =
          make(fmt::format("shards {} of {}", partition.shards(to), partition.shards(from)),
               of_data(partition.group(data_rank_, from, to)));
  replicas_ = make("replicas", of_data(partition.replicas(data_rank_)));
  tensor_ = make("tensor gradients", mesh.group(rank, {Axis::tp}));
  data_ = make("data", data);
  std::vector<int> all(static_cast<size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  everyone_ = make("all", std::move(all));
  // Ascending pairs, so that two ranks meet in one order whatever else they join.
  std::vector<int> sorted(peers.begin(), peers.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  for (const int peer : sorted) {
    const int other = mesh.neighbour(rank, Axis::pp, peer);
    peers_[peer] = make("pipeline", {std::min(rank, other), std::max(rank, other)});
  }
}

}  // namespace strata
