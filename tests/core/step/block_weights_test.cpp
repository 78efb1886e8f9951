// SPDX-License-Identifier: Apache-2.0
// A frozen model kept in blocks takes what its format says, has nothing packed and no optimizer state.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/models/architectures.h"
#include "core/step/state_layout.h"
#include "optim/optimizer_table.h"

namespace strata {
namespace {

ModelSpec spec() {
  return {.arch = "llama",
          .layers = 2,
          .hidden = 128,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 32,
          .ffn = 192,
          .vocab = 100,
          .max_positions = 32,
          .tied = true,
          .lora = {.rank = 2, .scale = 1, .targets = {"*"}}};
}

TEST(BlockWeights, TakeWhatTheirFormatSays) {
  const auto rule = make_update_rule("adamw", "fp32", DType::bf16, {});
  for (const auto& [format, block] : {std::pair(WeightFormat::int8, 68), std::pair(WeightFormat::nf4, 36)})
    for (const int ways : {1, 4}) {
      Model model = make_model(spec(), DType::bf16);
      model.freeze_base();
      model.keep_in_blocks(format);
      const Partition partition({ways, ways, ways}, ways);
      const StateLayout layout(model, rule.get(), plain_linear_op(), {}, partition);
      EXPECT_EQ(layout.bytes(ValueClass::packed, 1, 0), 0);
      int64_t weights = 0, trained = 0;
      const auto parameters = model.parameters(1);
      for (size_t i = 0; i < parameters.size(); ++i) {
        const int64_t count = parameters[i].shape.numel();
        const int64_t padded =
            ways == 1 ? count : round_up(count, int64_t{ways} * (parameters[i].multiplied ? 64 : 32));
        const int64_t bytes = parameters[i].multiplied ? padded / 64 * block : padded * 2;
        weights += round_up(bytes / ways, kTensorAlignment);
        EXPECT_EQ(layout.place(1, i).state.empty(), parameters[i].role != Role::adapter)
            << parameters[i].name;
        if (parameters[i].role == Role::adapter) trained += round_up(padded / ways * 4, kTensorAlignment);
      }
      EXPECT_EQ(layout.bytes(ValueClass::weight, 1, partition.weight_level()), weights);
      EXPECT_EQ(layout.bytes(ValueClass::grad, 1, partition.state_level()), trained);
      EXPECT_EQ(layout.bytes(ValueClass::master, 1, partition.state_level()), trained);
      EXPECT_EQ(layout.bytes(ValueClass::moments, 1, partition.state_level()), 2 * trained);
      EXPECT_GT(layout.bytes(ValueClass::packed, 0, 0), 0);  // the table is the head's matrix, as it computes
    }
}

TEST(BlockWeights, RowsThatAreNotWholeBlocksAreRefused) {
  ModelSpec odd = spec();
  odd.ffn = 200;
  Model model = make_model(odd, DType::bf16);
  model.freeze_base();
  EXPECT_THROW(model.keep_in_blocks(WeightFormat::nf4), Error);
  Model cut = make_model(spec(), DType::bf16, {.parts = 2, .part = 0});  // 96 of 192 columns
  cut.freeze_base();
  EXPECT_THROW(cut.keep_in_blocks(WeightFormat::nf4), Error);
}

}  // namespace
}  // namespace strata
