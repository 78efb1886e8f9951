// SPDX-License-Identifier: Apache-2.0
#include "core/step/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/suggest.h"

namespace strata {

PartitionWays partition_preset(const std::string& name, int data_ranks) {
  if (name == "ddp") return {1, 1, 1};
  if (name == "zero1") return {1, 1, data_ranks};
  if (name == "zero2") return {1, data_ranks, data_ranks};
  if (name == "zero3") return {data_ranks, data_ranks, data_ranks};
  const std::string near = nearest(name, std::vector<std::string>{"ddp", "zero1", "zero2", "zero3"});
  throw Error(Fault::usage,
              {.what = "unknown partition",
               .where = "parallel.partition",
               .found = fmt::format("\"{}\"", name),
               .expected = "ddp, zero1, zero2, zero3, or three numbers of shards",
               .fix = fmt::format("parallel.partition = \"{}\"", near.empty() ? "zero1" : near)});
}

Partition::Partition(const PartitionWays& ways, int data_ranks) : ways_(ways), data_ranks_(data_ranks) {
  const auto [alpha, beta, n] = ways;
  if (alpha < 1 || beta < 1 || n < 1 || beta % alpha != 0 || n % beta != 0 || data_ranks % n != 0)
    throw Error(Fault::usage,
                {.what = "the partition does not fit the data ranks",
                 .found = fmt::format("weights over {}, gradients over {}, state over {} of {} data ranks",
                                      alpha, beta, n, data_ranks),
                 .expected = "each number divides the next"});
  levels_ = {1, alpha, beta, n};
  levels_.erase(std::unique(levels_.begin(), levels_.end()), levels_.end());
}

int Partition::level_of(int shards) const {
  return static_cast<int>(std::find(levels_.begin(), levels_.end(), shards) - levels_.begin());
}

// The digits of the rank in the mixed radix of the levels, the lowest digit the most significant of the
// shard.
int Partition::shard(int data_rank, int level) const {
  int shard = 0;
  for (int l = 1; l <= level; ++l) {
    const int fan_out = shards(l) / shards(l - 1);
    shard = shard * fan_out + data_rank % shards(l) / shards(l - 1);
  }
  return shard;
}

std::vector<int> Partition::group(int data_rank, int from, int to) const {
  check(from < to && to < num_levels(), "[partition] from level {} to level {} of {}", from, to,
        num_levels());
  std::vector<int> members;
  const int first = data_rank / shards(to) * shards(to);
  for (int rank = first; rank < first + shards(to); ++rank)
    if (shard(rank, from) == shard(data_rank, from)) members.push_back(rank);
  std::sort(members.begin(), members.end(), [&](int a, int b) { return shard(a, to) < shard(b, to); });
  return members;
}

std::vector<int> Partition::replicas(int data_rank) const {
  std::vector<int> members;
  for (int rank = data_rank % ways_.state; rank < data_ranks_; rank += ways_.state) members.push_back(rank);
  return members;
}

void Partition::describe(BlockInfo& block) const {
  block.weight_level = narrow<uint8_t>(weight_level());
  block.grad_level = narrow<uint8_t>(grad_level());
  block.state_level = narrow<uint8_t>(state_level());
  block.replicated = replicated();
}

int64_t Partition::sample(int data_rank, int micro_batch, int micro_batches) const {
  // A gradient sum travels: over the beta ranks at once for every micro-batch, then over micro-batches, then
  // over the N / beta ranks between the levels, then over the replicas. Members stand in the order of their
  // shards.
  const int beta = ways_.gradients, n = ways_.state;
  const int at_once = shard(data_rank, grad_level());
  const int between = data_rank % n / beta;
  const int64_t outer = static_cast<int64_t>(replica(data_rank)) * (n / beta) + between;
  return (outer * micro_batches + micro_batch) * beta + at_once;
}

}  // namespace strata
