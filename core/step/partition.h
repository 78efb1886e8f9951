// SPDX-License-Identifier: Apache-2.0
// How the ranks that hold the same blocks share their state: the general scheme (alpha, beta, N) of AMSP and
// PaRO, of which ZeRO-1, 2, 3, HSDP and MiCS are points. Weights are cut into alpha shards, gradients into
// beta, optimizer state into N; alpha | beta | N | D, the number of data ranks. Pure arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/program/block_info.h"

namespace strata {

struct PartitionWays {
  int weights = 1;    // alpha
  int gradients = 1;  // beta
  int state = 1;      // N

  friend bool operator==(const PartitionWays&, const PartitionWays&) = default;
};

// The named points of the scheme over D data ranks: "ddp" (1, 1, 1), "zero1" (1, 1, D), "zero2" (1, D, D),
// "zero3" (D, D, D). Throws Error(usage) for another name.
PartitionWays partition_preset(const std::string& name, int data_ranks);

// Shards nest: one of a level is cut into those of the next. Level 0 is whole. Neighbouring data ranks hold
// different shards, so the most frequent traffic, that of the coarsest cut, stays among neighbours.
class Partition {
 public:
  Partition() : Partition({}, 1) {}
  // Throws Error(usage) with the numbers when they do not divide one another.
  Partition(const PartitionWays& ways, int data_ranks);

  const PartitionWays& ways() const { return ways_; }
  int data_ranks() const { return data_ranks_; }
  int num_levels() const { return static_cast<int>(levels_.size()); }
  int shards(int level) const { return levels_[static_cast<size_t>(level)]; }
  int weight_level() const { return level_of(ways_.weights); }
  int grad_level() const { return level_of(ways_.gradients); }
  int state_level() const { return level_of(ways_.state); }
  bool replicated() const { return ways_.state < data_ranks_; }

  // Which of the level's shards a data rank holds.
  int shard(int data_rank, int level) const;
  // The data ranks whose shards of `to` make up the shard of `from` that `data_rank` holds, in the order of
  // those shards: who gathers it, and over whom a sum on `from` is scattered to `to`.
  std::vector<int> group(int data_rank, int from, int to) const;
  // The data ranks that hold the same shard of the state.
  std::vector<int> replicas(int data_rank) const;
  // Its place among them; 0 speaks for the others.
  int replica(int data_rank) const { return data_rank / ways_.state; }

  // Writes the levels into a block's description.
  void describe(BlockInfo& block) const;

  // Which of the step's samples data rank d's i-th micro-batch is, so that every sum over micro-batches and
  // ranks is an aligned subtree of one balanced tree over samples: replicas slowest, then the ranks between
  // levels, the micro-batch, and the ranks a micro-batch's gradients are reduced over at once.
  int64_t sample(int data_rank, int micro_batch, int micro_batches) const;

  friend bool operator==(const Partition& a, const Partition& b) {
    return a.ways_ == b.ways_ && a.data_ranks_ == b.data_ranks_;
  }

 private:
  int level_of(int shards) const;

  PartitionWays ways_;
  int data_ranks_;
  std::vector<int> levels_;  // shards, ascending; the first is 1
};

}  // namespace strata
