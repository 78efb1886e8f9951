// SPDX-License-Identifier: Apache-2.0
// Every partition of up to 16 data ranks: how shards nest, who meets whom, and that sums travel through
// aligned subtrees of one tree over the step's samples.
#include "core/step/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <optional>
#include <set>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr int kMost = 16;

bool divide_one_another(const PartitionWays& ways, int data_ranks) {
  return ways.gradients % ways.weights == 0 && ways.state % ways.gradients == 0 &&
         data_ranks % ways.state == 0;
}

std::string text(const PartitionWays& ways, int data_ranks) {
  return fmt::format("({}, {}, {}) of {}", ways.weights, ways.gradients, ways.state, data_ranks);
}

template <typename Visit>
void for_all_ways(Visit visit) {
  for (int data_ranks = 1; data_ranks <= kMost; ++data_ranks)
    for (int weights = 1; weights <= kMost; ++weights)
      for (int gradients = 1; gradients <= kMost; ++gradients)
        for (int state = 1; state <= kMost; ++state)
          visit(PartitionWays{weights, gradients, state}, data_ranks);
}

template <typename Visit>
void for_all_partitions(Visit visit) {
  for_all_ways([&](const PartitionWays& ways, int data_ranks) {
    if (divide_one_another(ways, data_ranks)) visit(Partition(ways, data_ranks));
  });
}

#define TRACE(partition) SCOPED_TRACE(text((partition).ways(), (partition).data_ranks()))

TEST(Partition, NumbersThatDoNotDivideAreRefusedWithThem) {
  int refused = 0;
  for_all_ways([&](const PartitionWays& ways, int data_ranks) {
    if (divide_one_another(ways, data_ranks)) return;
    ++refused;
    try {
      const Partition partition(ways, data_ranks);
      ADD_FAILURE() << text(ways, data_ranks) << " was accepted";
    } catch (const Error& error) {
      ASSERT_EQ(error.fault(), Fault::usage);
      ASSERT_THAT(error.what(), testing::HasSubstr(fmt::format(
                                    "weights over {}, gradients over {}, state over {} of {} data ranks",
                                    ways.weights, ways.gradients, ways.state, data_ranks)));
    }
  });
  EXPECT_GT(refused, 60000);
  for (const PartitionWays& ways : {PartitionWays{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {-1, 1, 1}, {1, -2, 4}})
    EXPECT_THROW(Partition(ways, 4), Error) << text(ways, 4);
}

TEST(Partition, Presets) {
  EXPECT_EQ(partition_preset("ddp", 8), (PartitionWays{1, 1, 1}));
  EXPECT_EQ(partition_preset("zero1", 8), (PartitionWays{1, 1, 8}));
  EXPECT_EQ(partition_preset("zero2", 8), (PartitionWays{1, 8, 8}));
  EXPECT_EQ(partition_preset("zero3", 8), (PartitionWays{8, 8, 8}));
  EXPECT_THROW(partition_preset("zero4", 8), Error);
}

TEST(Partition, LevelsAreTheDistinctCuts) {
  for_all_partitions([](const Partition& partition) {
    TRACE(partition);
    std::set<int> cuts{1, partition.ways().weights, partition.ways().gradients, partition.ways().state};
    ASSERT_EQ(partition.num_levels(), static_cast<int>(cuts.size()));
    int level = 0;
    for (const int cut : cuts) ASSERT_EQ(partition.shards(level++), cut);
    ASSERT_EQ(partition.shards(partition.weight_level()), partition.ways().weights);
    ASSERT_EQ(partition.shards(partition.grad_level()), partition.ways().gradients);
    ASSERT_EQ(partition.shards(partition.state_level()), partition.ways().state);
    BlockInfo block;
    partition.describe(block);
    ASSERT_EQ(block.weight_level, partition.weight_level());
    ASSERT_EQ(block.grad_level, partition.grad_level());
    ASSERT_EQ(block.state_level, partition.state_level());
    ASSERT_EQ(block.replicated, partition.ways().state < partition.data_ranks());
  });
}

TEST(Partition, ShardsNestAndAreHeldEquallyOften) {
  for_all_partitions([](const Partition& partition) {
    TRACE(partition);
    for (int level = 0; level < partition.num_levels(); ++level) {
      std::vector<int> holders(static_cast<size_t>(partition.shards(level)));
      for (int rank = 0; rank < partition.data_ranks(); ++rank) {
        const int shard = partition.shard(rank, level);
        ASSERT_GE(shard, 0);
        ASSERT_LT(shard, partition.shards(level));
        ++holders[static_cast<size_t>(shard)];
        if (level == 0) continue;
        ASSERT_EQ(shard / (partition.shards(level) / partition.shards(level - 1)),
                  partition.shard(rank, level - 1));
      }
      for (const int count : holders) ASSERT_EQ(count, partition.data_ranks() / partition.shards(level));
    }
  });
}

// Members hold the parts of one shard, in order; all of them name the same group; neighbours hold different
// shards of the coarsest cut.
TEST(Partition, GroupsMakeUpAShard) {
  for_all_partitions([](const Partition& partition) {
    TRACE(partition);
    for (int from = 0; from < partition.num_levels(); ++from)
      for (int to = from + 1; to < partition.num_levels(); ++to) {
        const int parts = partition.shards(to) / partition.shards(from);
        for (int rank = 0; rank < partition.data_ranks(); ++rank) {
          const std::vector<int> group = partition.group(rank, from, to);
          ASSERT_EQ(static_cast<int>(group.size()), parts);
          ASSERT_THAT(group, testing::Contains(rank));
          for (int i = 0; i < parts; ++i) {
            const int member = group[static_cast<size_t>(i)];
            ASSERT_EQ(partition.shard(member, from), partition.shard(rank, from));
            ASSERT_EQ(partition.shard(member, to), partition.shard(rank, from) * parts + i);
            ASSERT_EQ(partition.group(member, from, to), group);
          }
        }
      }
    if (partition.num_levels() > 1) {
      for (const int member : partition.group(0, 0, 1)) ASSERT_LT(member, partition.shards(1));
    }
    EXPECT_THROW((void)partition.group(0, 0, 0), ContractError);
    EXPECT_THROW((void)partition.group(0, 0, partition.num_levels()), ContractError);
  });
}

TEST(Partition, ReplicasHoldTheSameState) {
  for_all_partitions([](const Partition& partition) {
    TRACE(partition);
    for (int rank = 0; rank < partition.data_ranks(); ++rank) {
      const std::vector<int> replicas = partition.replicas(rank);
      std::vector<int> same;
      for (int other = 0; other < partition.data_ranks(); ++other)
        if (partition.shard(other, partition.state_level()) == partition.shard(rank, partition.state_level()))
          same.push_back(other);
      ASSERT_EQ(replicas, same);
      ASSERT_EQ(replicas[static_cast<size_t>(partition.replica(rank))], rank);
      ASSERT_EQ(partition.replicated(), replicas.size() > 1);
    }
  });
}

TEST(Partition, EverySampleIsDealtOnce) {
  for_all_partitions([](const Partition& partition) {
    TRACE(partition);
    for (const int micro_batches : {1, 2, 3, 5}) {
      std::set<int64_t> samples;
      for (int rank = 0; rank < partition.data_ranks(); ++rank)
        for (int i = 0; i < micro_batches; ++i) samples.insert(partition.sample(rank, i, micro_batches));
      ASSERT_EQ(static_cast<int>(samples.size()), partition.data_ranks() * micro_batches);
      ASSERT_EQ(*samples.begin(), 0);
      ASSERT_EQ(*samples.rbegin(), partition.data_ranks() * micro_batches - 1);
    }
  });
}

// A sum of neighbouring samples [begin, begin + count), as a node of the balanced tree over all of them.
struct Node {
  int64_t begin = 0, count = 1;

  friend bool operator==(const Node&, const Node&) = default;
};

// Nothing when the two are not the halves of a node of the tree.
std::optional<Node> join(const std::optional<Node>& left, const std::optional<Node>& right) {
  if (!left || !right || left->count != right->count || left->begin + left->count != right->begin ||
      left->begin % (2 * left->count) != 0)
    return std::nullopt;
  return Node{left->begin, 2 * left->count};
}

// As collectives add their members up.
std::optional<Node> tree_sum(const std::vector<std::optional<Node>>& parts) {
  if (parts.size() == 1) return parts[0];
  const auto half = static_cast<std::ptrdiff_t>(parts.size() / 2);
  return join(tree_sum({parts.begin(), parts.begin() + half}), tree_sum({parts.begin() + half, parts.end()}));
}

// A gradient's way in ordered mode: over the ranks of the gradient level with every micro-batch, the binary
// counter over micro-batches, the ranks between gradient and state level, the replicas.
TEST(Partition, SumsAreAlignedSubtrees) {
  int checked = 0;
  for_all_partitions([&](const Partition& partition) {
    if (!std::has_single_bit(static_cast<unsigned>(partition.data_ranks()))) return;
    TRACE(partition);
    const auto ranks = static_cast<size_t>(partition.data_ranks());
    for (const int micro_batches : {1, 2, 4, 8}) {
      const auto over = [&](const std::vector<std::optional<Node>>& sums, auto group_of) {
        std::vector<std::optional<Node>> reduced(ranks);
        for (size_t rank = 0; rank < ranks; ++rank) {
          std::vector<std::optional<Node>> parts;
          for (const int member : group_of(static_cast<int>(rank)))
            parts.push_back(sums[static_cast<size_t>(member)]);
          reduced[rank] = tree_sum(parts);
        }
        return reduced;
      };
      const auto between = [&](int from, int to) {
        return [&partition, from, to](int rank) {
          return from == to ? std::vector{rank} : partition.group(rank, from, to);
        };
      };
      std::vector<std::vector<std::optional<Node>>> counter;  // sums of growing size, the largest first
      for (int i = 0; i < micro_batches; ++i) {
        std::vector<std::optional<Node>> leaves(ranks);
        for (size_t rank = 0; rank < ranks; ++rank)
          leaves[rank] = Node{partition.sample(static_cast<int>(rank), i, micro_batches)};
        counter.push_back(over(leaves, between(0, partition.grad_level())));
        for (int size = 1; (i / size) % 2 == 1; size *= 2) {
          const auto right = counter.back();
          counter.pop_back();
          for (size_t rank = 0; rank < ranks; ++rank)
            counter.back()[rank] = join(counter.back()[rank], right[rank]);
        }
      }
      ASSERT_EQ(counter.size(), 1u);
      auto sums = over(counter.back(), between(partition.grad_level(), partition.state_level()));
      sums = over(sums, [&](int rank) { return partition.replicas(rank); });
      const Node all{0, static_cast<int64_t>(ranks) * micro_batches};
      for (size_t rank = 0; rank < ranks; ++rank) ASSERT_EQ(sums[rank], all) << "rank " << rank;
      ++checked;
    }
  });
  EXPECT_EQ(checked, 4 * (1 + 4 + 10 + 20 + 35));  // chains 1 | alpha | beta | N | D of powers of two
}

}  // namespace
}  // namespace strata
