// SPDX-License-Identifier: Apache-2.0
// Volumes against the rows of the literature's tables, written out once more, and against counting by hand.
#include "parallel/volume_formulas.h"

#include <gtest/gtest.h>

#include <bit>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {
namespace {

TEST(PartitionVolume, EveryRowOfTheTable) {
  for (const int n : {1, 2, 4, 8, 24, 384}) {
    const double parameters = 384.0 * 1000, m = 2 * parameters,
                 rest = m * static_cast<double>(n - 1) / static_cast<double>(n);
    EXPECT_EQ(replicated_volume(parameters, n), 2 * rest);
    const auto figures = [&](const PartitionVolume& v) {
      return std::pair{v.per_micro_batch(), v.per_step()};
    };
    EXPECT_EQ(figures(partition_volume(parameters, {1, 1, n})), (std::pair{0.0, 2 * rest})) << "ZeRO-1 " << n;
    EXPECT_EQ(figures(partition_volume(parameters, {1, n, n})), (std::pair{rest, rest})) << "ZeRO-2 " << n;
    EXPECT_EQ(figures(partition_volume(parameters, {n, n, n})), (std::pair{3 * rest, 0.0})) << "ZeRO-3 " << n;
    EXPECT_EQ(figures(kept_weights_volume(parameters, {n, n, n})), (std::pair{2 * rest, 0.0}))
        << "kept " << n;
    for (int q = 1; q <= n; ++q) {
      if (n % q != 0) continue;
      const auto in = static_cast<double>(q), r = static_cast<double>(n / q);
      const double inside = 3 * m * (in - 1) / in, across = 2 * (m / in) * (r - 1) / r;
      EXPECT_EQ(figures(sharded_replicas_volume(parameters, q, n)), (std::pair{inside, across}))
          << q << " of " << n;
      EXPECT_EQ(figures(partition_volume(parameters, {q, q, n})), (std::pair{inside, across}))
          << q << " of " << n;
    }
  }
  EXPECT_THROW((void)partition_volume(1, {2, 3, 6}), ContractError);
}

// (2, 4, 8) by hand: weights of 26000 bytes with their scales, gradients of 102400.
TEST(PartitionVolume, WiresCountElementsAndScales) {
  const Wire int8{.element = 1, .scale_block = 256}, int4{.element = 0.5, .scale_block = 128};
  EXPECT_EQ(int8.bytes(2560), 2560 + 40);
  EXPECT_EQ(int4.bytes(2560), 1280 + 80);
  const PartitionVolume volume =
      partition_volume(25600, {2, 4, 8}, {.weights = int8, .gradients = {.element = 4}});
  EXPECT_EQ(volume.gather, 2 * 26000.0 / 2);
  EXPECT_EQ(volume.reduce, 4 * 25600.0 * 3 / 4);
  EXPECT_EQ(volume.replica_reduce, 4 * 25600.0 / 4 / 2);
  EXPECT_EQ(volume.replica_gather, 26000.0 / 4 / 2);
  EXPECT_EQ(volume.inner_gather, 26000.0 / 2 - 26000.0 / 4);
}

// GPT-NeoX-20B on 48 nodes of 8, in GB: the comparison of ZeRO-3, ZeRO++ and three levels.
TEST(PartitionVolume, FrontierTable) {
  const double p = 20.555e9, gb = 1e9;
  const Wire bf16, int8{.element = 1}, int4{.element = 0.5};
  EXPECT_NEAR(3 * node_ingress_bytes(2 * p, 48) / gb, 120.76, 0.01);

  const ZeroPlusPlusVolume plus = zero_plus_plus_volume(p, 384, 8, int8, bf16, int4);
  // A node's ranks together receive over the network what a ring brings into the node.
  EXPECT_NEAR(node_ingress_bytes(int8.bytes(p), 48) / gb, 20.13, 0.01);
  EXPECT_NEAR(8 * plus.world_exchange / gb, 10.06, 0.01);
  EXPECT_NEAR(plus.backward_gather / gb, 35.97, 0.01);
  EXPECT_NEAR(plus.node_exchange / gb, 8.99, 0.01);
  EXPECT_EQ(plus.forward_gather, p * 383 / 384);

  const PartitionVolume levels = partition_volume(p, {2, 8, 384}, {.weights = bf16, .gradients = int4});
  EXPECT_NEAR(levels.gather / gb, 41.11, 0.01);
  EXPECT_NEAR(levels.reduce / gb, 8.99, 0.01);
  EXPECT_NEAR(partition_volume(p, {2, 8, 384}).reduce / gb, 35.97, 0.01);
  EXPECT_NEAR(8 * partition_volume(p, {2, 8, 384}).replica_reduce / gb, 40.25, 0.01);
  EXPECT_NEAR(8 * levels.replica_gather / gb, 40.25, 0.01);
  EXPECT_NEAR(levels.inner_gather / gb, 15.4, 0.05);
}

TEST(TensorParallelVolume, LayersEmbeddingHeadAndLoss) {
  for (const int64_t t : {1, 2, 4, 8}) {
    const double x = 4096, part = x * static_cast<double>(t - 1) / static_cast<double>(t);
    EXPECT_EQ(tensor_parallel_layer_volume(x, {.tp = t}).total(), 8 * part);
    EXPECT_EQ(tensor_parallel_layer_volume(x, {.tp = t}).forward, 4 * part);
    EXPECT_EQ(tensor_parallel_layer_volume(x, {.tp = t, .full_recompute = true}).total(), 12 * part);
    EXPECT_EQ(tensor_parallel_layer_volume(x, {.tp = t, .sequence_parallel = true}).total(), 10 * part);
    EXPECT_EQ(
        tensor_parallel_layer_volume(x, {.tp = t, .sequence_parallel = true, .regather = false}).total(),
        8 * part);
    EXPECT_EQ(tensor_parallel_embedding_volume(x, {.tp = t}).forward, 2 * part);
    EXPECT_EQ(tensor_parallel_embedding_volume(x, {.tp = t}).backward, 0);
    EXPECT_EQ(tensor_parallel_embedding_volume(x, {.tp = t, .sequence_parallel = true}).forward, part);
    EXPECT_EQ(tensor_parallel_embedding_volume(x, {.tp = t, .sequence_parallel = true}).backward, part);
    EXPECT_EQ(tensor_parallel_head_volume(x, {.tp = t}).forward, 0);
    EXPECT_EQ(tensor_parallel_head_volume(x, {.tp = t}).backward, 2 * part);
    EXPECT_EQ(tensor_parallel_head_volume(x, {.tp = t, .sequence_parallel = true}).forward, part);
    EXPECT_EQ(tensor_parallel_head_volume(x, {.tp = t, .sequence_parallel = true}).backward, 2 * part);
    EXPECT_EQ(vocabulary_loss_volume(1024, t), 3 * 2 * part);
  }
}

TEST(ContextParallelVolume, RingAndAllToAll) {
  // b = 2, s = 64, h = 32, h_kv = 8, bf16, gradients gathered in fp32.
  for (const int64_t c : {1, 2, 4}) {
    const double rows = 2.0 * 64 / static_cast<double>(c), hops = static_cast<double>(c - 1);
    const PassVolume ring = ring_attention_volume(rows * 8 * 2, rows * 8 * 4, c);
    EXPECT_EQ(ring.forward, hops * 2 * rows * 8 * 2);
    EXPECT_EQ(ring.backward, hops * 2 * rows * 8 * (2 + 4));
    const PassVolume exchange = all_to_all_attention_volume(rows * 32 * 2, rows * 8 * 2, c);
    EXPECT_EQ(exchange.forward, 2 * rows * (32 + 8) * 2 * hops / static_cast<double>(c));
    EXPECT_EQ(exchange.backward, exchange.forward);
  }
}

TEST(ExpertVolume, PublishedExchange) {
  // DeepSeek-V3's decoding estimate: fp8 there, bf16 back, 32 tokens to 9 experts, h = 7000, 50 GB/s, every
  // token remote: 120.96 us.
  const double there = Wire{.element = 1}.bytes(32 * 9 * 7000), back = Wire{}.bytes(32 * 9 * 7000);
  EXPECT_DOUBLE_EQ((there + back) / 50e9 * 1e6, 120.96);
  EXPECT_EQ(expert_exchange_volume(32, 9, 7000, {.element = 1}, 8), there * 7 / 8);
  // Scales of fp8: 4 bytes per 128 elements.
  EXPECT_EQ(expert_exchange_volume(64, 2, 256, {.element = 1, .scale_block = 128}, 2),
            (64 * 2 * 256 + 64 * 2 * 8) / 2.0);
}

TEST(ExpertVolume, ExpectedRemoteNodesCountsChoices) {
  for (const auto& [nodes, experts] : {std::pair{1, 4}, {2, 4}, {2, 8}, {4, 8}, {3, 12}, {4, 12}}) {
    for (int k = 0; k <= 5 && k <= experts; ++k) {
      // Every set of k experts; the token lives on node 0.
      int64_t sets = 0, hits = 0;
      for (uint32_t set = 0; set < 1u << experts; ++set) {
        if (std::popcount(set) != k) continue;
        ++sets;
        for (int node = 1; node < nodes; ++node) {
          const uint32_t mine = ((1u << experts / nodes) - 1) << (node * (experts / nodes));
          hits += (set & mine) != 0;
        }
      }
      EXPECT_NEAR(expected_remote_nodes(nodes, experts, k),
                  static_cast<double>(hits) / static_cast<double>(sets), 1e-12)
          << nodes << " nodes, " << experts << " experts, " << k;
    }
  }
  EXPECT_EQ(expected_remote_nodes(4, 8, 8), 3);
}

TEST(PipelineVolume, CountsMessagesBetweenStages) {
  for (int p = 1; p <= 6; ++p) {
    for (int v = 1; v <= 3; ++v) {
      const int m = 2 * p;
      const Schedule schedule = make_schedule(v == 1 ? "1f1b" : "interleaved",
                                              {.ranks = p, .virtual_stages = v, .micro_batches = m});
      PassVolume all;
      for (int rank = 0; rank < p; ++rank) {
        const PassVolume mine = pipeline_volume(schedule.stage_rank, rank, m, 10);
        // By walking the cells.
        double forward = 0, backward = 0;
        for (const Cell& cell : schedule.ranks[static_cast<size_t>(rank)]) {
          if (p == 1) continue;
          if (cell.kind == CellKind::forward && cell.stage > 0) forward += 10;
          if (cell.kind == CellKind::backward && cell.stage < p * v - 1) backward += 10;
        }
        EXPECT_EQ(mine.forward, forward);
        EXPECT_EQ(mine.backward, backward);
        all.forward += mine.forward;
        all.backward += mine.backward;
      }
      if (p > 1) {
        EXPECT_EQ(all.forward, 10.0 * m * (p * v - 1));
      }
      EXPECT_EQ(all.backward, all.forward);
    }
  }
  // A V crosses between ranks twice; its turn stays at home.
  const std::vector<int> turn{0, 1, 1, 0};
  EXPECT_EQ(pipeline_volume(turn, 1, 1, 1).forward, 1);
  EXPECT_EQ(pipeline_volume(turn, 0, 1, 1).forward, 1);
}

}  // namespace
}  // namespace strata
