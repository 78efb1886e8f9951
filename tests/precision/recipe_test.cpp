// SPDX-License-Identifier: Apache-2.0
#include "precision/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/models/architectures.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Model model(int64_t layers) {
  return make_model({.arch = "llama",
                     .layers = layers,
                     .hidden = 64,
                     .heads = 2,
                     .kv_heads = 1,
                     .head_dim = 32,
                     .ffn = 96,
                     .vocab = 40,
                     .max_positions = 16},
                    DType::bf16);
}

// By site: whether the layer is quantized.
std::vector<bool> quantized(const Model& model) {
  std::vector<bool> all;
  for (const auto& block : model.blocks)
    for (const Parameter& parameter : block->parameters())
      if (parameter.recipe.site >= 0) {
        EXPECT_EQ(parameter.recipe.site, static_cast<int>(all.size()));
        EXPECT_TRUE(parameter.multiplied);
        all.push_back(parameter.recipe.any());
      } else {
        EXPECT_FALSE(parameter.recipe.any());
      }
  for (const Parameter& parameter : model.head->parameters()) EXPECT_FALSE(parameter.recipe.any());
  return all;
}

std::string error_of(const RecipeOptions& options) {
  Model m = model(2);
  try {
    apply_recipe(options, m);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Recipe, IsThatOfTheNameInEveryLayerBetweenEmbeddingAndHead) {
  Model m = model(3);
  const auto layers = apply_recipe({.name = "block-hybrid"}, m);
  ASSERT_EQ(layers.size(), 12u);  // qkv, output, gate_up, down of three layers
  EXPECT_EQ(layers[0].layer, "layers.0.attention.qkv");
  EXPECT_EQ(layers[11].layer, "layers.2.mlp.down");
  EXPECT_THAT(quantized(m), testing::Each(true));
  const LinearRecipe& recipe = m.blocks[2]->parameters()[1].recipe;
  EXPECT_EQ(recipe.kind, ScaleKind::pow2);
  EXPECT_EQ(recipe.forward.left, (OperandRecipe{Fp8Format::e4m3, ScaleShape::tile}));
  EXPECT_EQ(recipe.forward.right, (OperandRecipe{Fp8Format::e4m3, ScaleShape::block}));
  EXPECT_EQ(recipe.backward_input.left, (OperandRecipe{Fp8Format::e5m2, ScaleShape::tile}));
  EXPECT_EQ(recipe.backward_weight.left, (OperandRecipe{Fp8Format::e5m2, ScaleShape::tile}));
  EXPECT_EQ(recipe.backward_weight.right, (OperandRecipe{Fp8Format::e4m3, ScaleShape::tile}));
}

// DeepSeek-V3's and the vendors' rules: gradients never share factors over 128 x 128, and tensor cores take
// no two e5m2.
TEST(Recipe, KeepsToWhatProductsTake) {
  for (const QuantizationRecipe& recipe : quantization_recipes()) {
    EXPECT_NE(recipe.rows, ScaleShape::block) << recipe.name;
    EXPECT_NE(recipe.columns, ScaleShape::block) << recipe.name;
    Model m = model(1);
    apply_recipe({.name = std::string(recipe.name)}, m);
    const LinearRecipe& made = m.blocks[1]->parameters()[1].recipe;
    for (const ProductRecipe& product : {made.forward, made.backward_input, made.backward_weight})
      EXPECT_FALSE(product.left.format == Fp8Format::e5m2 && product.right.format == Fp8Format::e5m2);
  }
}

TEST(Recipe, LeavesOutWhatIsNamed) {
  Model m = model(3);
  const auto layers = apply_recipe({.name = "row", .high_precision = {"mlp.down"}, .keep_first = 1}, m);
  EXPECT_THAT(quantized(m),
              ElementsAre(false, false, false, false, true, true, true, false, true, true, true, false));
  EXPECT_EQ(layers[0].why, "first layers");
  EXPECT_EQ(layers[7].why, "precision.high_precision");
  EXPECT_EQ(layers[8].why, "");

  Model last = model(3);
  apply_recipe({.name = "row", .keep_last = 2}, last);
  EXPECT_THAT(quantized(last),
              ElementsAre(true, true, true, true, false, false, false, false, false, false, false, false));
  Model small = model(1);  // qkv 128 x 64, output 64 x 64, gate_up 192 x 64, down 64 x 96
  apply_recipe({.name = "row", .smallest = 6145}, small);
  EXPECT_THAT(quantized(small), ElementsAre(true, false, true, false));

  Model forward = model(1);
  apply_recipe({.name = "row", .backward_input = false, .backward_weight = false}, forward);
  const LinearRecipe& recipe = forward.blocks[1]->parameters()[1].recipe;
  EXPECT_TRUE(recipe.forward.quantized);
  EXPECT_FALSE(recipe.backward_input.quantized || recipe.backward_weight.quantized);
}

TEST(Recipe, LeavesOutWhatIsSlower) {
  const std::vector<MeasuredLayer> measured{
      {.out = 128, .in = 64, .forward = 1.2, .backward_input = 1, .backward_weight = 1.01},
      {.out = 192, .in = 64, .forward = 0.2, .backward_input = 0.9, .backward_weight = 0.8},
      {.out = 64, .in = 96, .forward = 2, .backward_input = 2, .backward_weight = 2}};
  Model m = model(1);
  const auto layers =
      apply_recipe({.name = "row", .high_precision = {"attention.output"}, .measured = measured}, m);
  EXPECT_THAT(quantized(m), ElementsAre(true, false, false, true));
  const LinearRecipe& qkv = m.blocks[1]->parameters()[1].recipe;
  EXPECT_TRUE(qkv.forward.quantized && !qkv.backward_input.quantized && qkv.backward_weight.quantized);
  EXPECT_EQ(layers[1].why, "precision.high_precision");
  EXPECT_EQ(layers[2].why, "slower in 8 bits");
  EXPECT_THAT(error_of({.name = "row", .measured = measured}),
              HasSubstr("nothing of layers.0.attention.output (64 inputs, 64 outputs)"));
}

TEST(Recipe, SaysWhatItDoesNotUnderstand) {
  EXPECT_THAT(error_of({.name = "blok"}), HasSubstr("one of tensor-current, tensor-hybrid"));
  EXPECT_THAT(error_of({.high_precision = {"mlp.dwon"}}), HasSubstr("means no linear layer"));
  EXPECT_THAT(error_of({.high_precision = {"attention.key"}}), HasSubstr("write \"layers.0.attention.qkv\""));
  EXPECT_EQ(error_of({.high_precision = {"attention.*", "layers.1.*"}}), "nothing was thrown");
  // Each product of a weight would want other codes.
  EXPECT_THAT(error_of({.name = "row", .gather_codes = true}), HasSubstr("\"fp8\" with recipe \"row\""));
  EXPECT_THAT(error_of({.backward_input = false, .gather_codes = true}), HasSubstr("of one product"));
  EXPECT_EQ(error_of({.name = "tensor-delayed", .gather_codes = true}), "nothing was thrown");
}

}  // namespace
}  // namespace strata
