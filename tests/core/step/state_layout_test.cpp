// SPDX-License-Identifier: Apache-2.0
// Where shards lie: on every level each of a parameter's elements, padding included, belongs to one shard of
// equal size, shards of a level make up those below, and what a rank holds of each value does not overlap.
#include "core/step/state_layout.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/models/architectures.h"
#include "optim/optimizer_table.h"

namespace strata {
namespace {

Model odd_model() {  // no size is a multiple of a shard
  Model model = make_model({.arch = "gpt2",
                            .layers = 2,
                            .hidden = 24,
                            .heads = 3,
                            .kv_heads = 3,
                            .head_dim = 8,
                            .ffn = 40,
                            .vocab = 90,
                            .max_positions = 10,
                            .tied = false},
                           DType::f32);
  const std::vector<std::string> frozen{"layers.1.attention*"};
  model.freeze(frozen);
  return model;
}

class Shards : public testing::TestWithParam<std::pair<PartitionWays, int>> {};

TEST_P(Shards, AreEqualNestedAndApart) {
  const Partition partition(GetParam().first, GetParam().second);
  const Model model = odd_model();
  const auto rule = make_update_rule("adamw", "fp32", DType::f32, {});
  const StateLayout layout(model, rule.get(), plain_linear_op(), {}, partition);
  const int levels = partition.num_levels(), state_level = partition.state_level();
  int frozen = 0;
  for (int block = 0; block < model.num_blocks(); ++block) {
    struct Piece {
      int64_t begin, bytes;
    };
    std::vector<std::vector<Piece>> weights(static_cast<size_t>(levels)), gradients(weights);
    std::vector<Piece> master, moments;
    for (size_t i = 0; i < model.parameters(block).size(); ++i) {
      const int64_t real = model.parameters(block)[i].shape.numel();
      const ParameterPlace& place = layout.place(block, i);
      ASSERT_GE(place.elements, real);
      ASSERT_LT(place.elements - real, 32 * partition.shards(levels - 1));
      if (partition.shards(levels - 1) == 1) {
        ASSERT_EQ(place.elements, real);
      }
      frozen += place.grad.empty() ? 1 : 0;
      ASSERT_EQ(place.grad.empty(), !model.parameters(block)[i].trainable);
      ASSERT_EQ(place.state.size(), place.grad.empty() ? 0u : layout.slots().size());
      for (int level = 0; level < levels; ++level) {
        const auto l = static_cast<size_t>(level);
        const int64_t shard = layout.shard_elements(block, i, level);
        ASSERT_EQ(shard * partition.shards(level), place.elements);
        ASSERT_EQ(layout.shard_elements(block, i, std::max(level - 1, 0)) % shard, 0);
        weights[l].push_back({place.weight[l], shard * 4});
        if (!place.grad.empty()) gradients[l].push_back({place.grad[l], shard * 4});
      }
      for (size_t slot = 0; slot < place.state.size(); ++slot)
        (class_of(layout.slots()[slot]) == ValueClass::master ? master : moments)
            .push_back({place.state[slot],
                        layout.shard_elements(block, i, state_level) * size_of(layout.slots()[slot].dtype)});
    }
    const auto apart = [](std::vector<Piece> pieces, int64_t total) {
      std::sort(pieces.begin(), pieces.end(),
                [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
      int64_t end = 0;
      for (const Piece& piece : pieces) {
        EXPECT_EQ(piece.begin % kTensorAlignment, 0);
        EXPECT_GE(piece.begin, end);
        end = piece.begin + piece.bytes;
      }
      EXPECT_LE(end, total);
      EXPECT_LT(total - end, kTensorAlignment);
    };
    for (int level = 0; level < levels; ++level) {
      apart(weights[static_cast<size_t>(level)], layout.bytes(ValueClass::weight, block, level));
      apart(gradients[static_cast<size_t>(level)], layout.bytes(ValueClass::grad, block, level));
    }
    apart(master, layout.bytes(ValueClass::master, block, state_level));
    apart(moments, layout.bytes(ValueClass::moments, block, state_level));
  }
  EXPECT_GT(frozen, 0);
}

INSTANTIATE_TEST_SUITE_P(Partitions, Shards,
                         testing::Values(std::pair{PartitionWays{1, 1, 1}, 1},
                                         std::pair{PartitionWays{1, 1, 4}, 8},
                                         std::pair{PartitionWays{3, 3, 3}, 3},
                                         std::pair{PartitionWays{2, 4, 8}, 16},
                                         std::pair{PartitionWays{5, 10, 10}, 10}));

}  // namespace
}  // namespace strata
