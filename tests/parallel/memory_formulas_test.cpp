// SPDX-License-Identifier: Apache-2.0
// Published figures of memory per rank.
#include "parallel/memory_formulas.h"

#include <gtest/gtest.h>

namespace strata {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

// Rajbhandari et al. 2020, figure 1: 7.5B parameters on 64 ranks.
TEST(ParameterBytes, ZeroPaper) {
  const double p = 7.5e9;
  EXPECT_EQ(state_bytes(p, {1, 1, 1}), 120e9);
  EXPECT_EQ(state_bytes(p, {1, 1, 64}), 4 * p + 12 * p / 64);   // 31.4 GB
  EXPECT_EQ(state_bytes(p, {1, 64, 64}), 2 * p + 14 * p / 64);  // 16.6 GB
  EXPECT_EQ(state_bytes(p, {64, 64, 64}), 1.875e9);
  EXPECT_NEAR(state_bytes(p, {1, 1, 64}) / 1e9, 31.41, 0.005);
  EXPECT_NEAR(state_bytes(p, {1, 64, 64}) / 1e9, 16.64, 0.005);
}

// Megatron's distributed optimizer, bytes per parameter: 20 to 4+16/d, 18 to 6+12/d, 16 to 8+8/d.
TEST(ParameterBytes, MegatronDistributedOptimizer) {
  for (const int d : {1, 2, 4, 8, 64}) {
    const auto over = static_cast<double>(d);
    EXPECT_EQ(state_bytes(1, {1, 1, d}, {2, 2, 16}), 4 + 16 / over);
    EXPECT_EQ(state_bytes(1, {1, 1, d}, {2, 4, 12}), 6 + 12 / over);
    EXPECT_EQ(state_bytes(1, {1, 1, d}, {4, 4, 8}), 8 + 8 / over);
  }
}

// The 20B model of the Frontier comparison on 384 ranks, GB.
TEST(ParameterBytes, Levels) {
  const double p = 20.555e9;
  const auto gb = [&](PartitionWays partition) { return state_bytes(p, partition) / 1e9; };
  EXPECT_NEAR(gb({384, 384, 384}), 0.86, 0.005);
  EXPECT_NEAR(gb({8, 8, 384}), 10.92, 0.005);
  EXPECT_NEAR(gb({2, 8, 384}), 26.34, 0.005);
  EXPECT_NEAR(gb({2, 2, 384}), 41.8, 0.05);
  EXPECT_NEAR(gb({2, 8, 8}), 56.5, 0.05);
}

// Korthikanti et al. 2022: four models, with tensor parallelism alone and with sequence parallelism and
// selective recomputation, GiB of the first stage.
TEST(ActivationBytes, EightPublishedFigures) {
  struct Row {
    ActivationShape shape;
    int64_t layers, tp, pp, virtual_stages;
    double tensor_parallel, selective;
  };
  for (const Row& row : {Row{{2048, 4, 6144, 64}, 48, 8, 1, 1, 59.25, 9.5625},
                         Row{{2048, 1, 12288, 96}, 96, 8, 8, 3, 66.84375, 12.3515625},
                         Row{{2048, 1, 20480, 128}, 105, 8, 35, 3, 114.0234375, 23.0761719},
                         Row{{2048, 1, 25600, 160}, 128, 8, 64, 1, 131.25, 26.5625}}) {
    const auto gib = [&](const ActivationSplit& split) {
      return first_stage_activation_bytes(row.shape, split, row.layers, row.pp, row.virtual_stages) / kGiB;
    };
    EXPECT_EQ(gib({.tp = row.tp}), row.tensor_parallel) << row.shape.hidden;
    // The figure of 530B is printed with seven decimals.
    EXPECT_NEAR(gib({.tp = row.tp, .sequence_parallel = true, .recompute = ActivationRecompute::selective}),
                row.selective, row.layers == 105 ? 5e-8 : 0)
        << row.shape.hidden;
  }
}

TEST(ActivationBytes, EveryRowOfTheTable) {
  const ActivationShape shape{.seq = 1024, .micro_batch = 3, .hidden = 512, .heads = 8};
  const double sbh = 1024.0 * 3 * 512, scores = 5.0 * 8 * 1024 / 512;
  EXPECT_EQ(layer_activation_bytes(shape, {}), sbh * (34 + scores));
  EXPECT_EQ(layer_activation_bytes(shape, {.recompute = ActivationRecompute::selective}), sbh * 34);
  for (const int64_t t : {1, 2, 4, 8}) {
    const auto over = static_cast<double>(t);
    EXPECT_EQ(layer_activation_bytes(shape, {.tp = t}), sbh * (10 + 24 / over + scores / over));
    EXPECT_EQ(layer_activation_bytes(shape, {.tp = t, .sequence_parallel = true}),
              sbh * (34 + scores) / over);
    EXPECT_EQ(layer_activation_bytes(shape, {.tp = t, .recompute = ActivationRecompute::selective}),
              sbh * (10 + 24 / over));
    EXPECT_EQ(layer_activation_bytes(
                  shape, {.tp = t, .sequence_parallel = true, .recompute = ActivationRecompute::selective}),
              sbh * 34 / over);
    EXPECT_EQ(layer_activation_bytes(shape, {.tp = t, .recompute = ActivationRecompute::full}), sbh * 2);
  }
}

}  // namespace
}  // namespace strata
