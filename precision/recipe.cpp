// SPDX-License-Identifier: Apache-2.0
#include "precision/recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/lora.h"

namespace strata {
namespace {

using enum ScaleShape;

constexpr QuantizationRecipe kRecipes[] = {
    {.name = "tensor-current",
     .doc = "one factor a tensor, from its own largest magnitude",
     .rows = tensor,
     .weight = tensor,
     .columns = tensor,
     .gradient = Fp8Format::e4m3,
     .kind = ScaleKind::f32,
     .delayed = false},
    {.name = "tensor-hybrid",
     .doc = "as tensor-current, gradients in e5m2",
     .rows = tensor,
     .weight = tensor,
     .columns = tensor,
     .gradient = Fp8Format::e5m2,
     .kind = ScaleKind::f32,
     .delayed = false},
    {.name = "tensor-delayed",
     .doc = "one factor a tensor, from the largest magnitudes of earlier steps; gradients in e5m2",
     .rows = tensor,
     .weight = tensor,
     .columns = tensor,
     .gradient = Fp8Format::e5m2,
     .kind = ScaleKind::f32,
     .delayed = true},
    {.name = "row",
     .doc = "one factor a row: a token of activations, a feature of weights",
     .rows = row,
     .weight = row,
     .columns = row,
     .gradient = Fp8Format::e4m3,
     .kind = ScaleKind::f32,
     .delayed = false},
    {.name = "block",
     .doc = "1x128 tiles of activations and gradients, 128x128 blocks of weights (DeepSeek-V3)",
     .rows = tile,
     .weight = block,
     .columns = tile,
     .gradient = Fp8Format::e4m3,
     .kind = ScaleKind::pow2,
     .delayed = false},
    {.name = "block-hybrid",
     .doc = "as block, gradients in e5m2",
     .rows = tile,
     .weight = block,
     .columns = tile,
     .gradient = Fp8Format::e5m2,
     .kind = ScaleKind::pow2,
     .delayed = false},
};

LinearRecipe linear_recipe(const QuantizationRecipe& recipe, const RecipeOptions& options) {
  const OperandRecipe x{Fp8Format::e4m3, recipe.rows}, dy{recipe.gradient, recipe.rows};
  const OperandRecipe weight{Fp8Format::e4m3, recipe.weight};
  const OperandRecipe x_columns{Fp8Format::e4m3, recipe.columns}, dy_columns{recipe.gradient, recipe.columns};
  const LinearRecipe made{.forward = {options.forward, x, weight},
                          .backward_input = {options.backward_input, dy, weight},
                          .backward_weight = {options.backward_weight, dy_columns, x_columns},
                          .kind = options.scales.value_or(recipe.kind),
                          .delayed = recipe.delayed,
                          .gather_codes = options.gather_codes};
  if (options.gather_codes && !made.weight_has_one_code())
    throw Error(Fault::usage,
                {.what = "weights cannot be gathered as codes: both products of a weight want the same ones",
                 .where = "precision.gather",
                 .found = fmt::format("\"fp8\" with recipe \"{}\"{}", recipe.name,
                                      options.forward && options.backward_input ? "" : " of one product"),
                 .expected = "a recipe with factors of tensors or blocks of a weight; products forward and "
                             "backward_input",
                 .fix = "precision.gather=bf16, or precision.recipe=block"});
  return made;
}

std::string layer_of(const std::string& tensor) {
  return tensor.substr(0, tensor.size() - std::string_view(".weight").size());
}

int64_t whole_elements(const Parameter& parameter) {
  int64_t sum = 0;
  for (const LogicalTensor& piece : parameter.pieces) sum += piece.shape.numel();
  return sum;
}

// Whether a pattern means the (fused) matrix; `used` counts what it meant.
bool is_meant(const std::string& pattern, const Parameter& parameter, int& used) {
  int pieces = 0;
  for (const LogicalTensor& piece : parameter.pieces)
    pieces += lora_pattern_matches(pattern, layer_of(piece.name)) ? 1 : 0;
  if (lora_pattern_matches(pattern, layer_of(parameter.name)))
    pieces = static_cast<int>(parameter.pieces.size());
  used += pieces;
  if (pieces == 0 || pieces == static_cast<int>(parameter.pieces.size())) return pieces > 0;
  throw Error(Fault::usage,
              {.what = "a pattern means only a part of a matrix",
               .where = "precision.high_precision",
               .found = fmt::format("\"{}\", which means {} of the {} layers in {}", pattern, pieces,
                                    parameter.pieces.size(), layer_of(parameter.name)),
               .expected = "patterns that mean whole matrices: these layers are multiplied as one",
               .fix = fmt::format("write \"{}\"", layer_of(parameter.name))});
}

// The recipe without the products that are slower so.
LinearRecipe without_slower(LinearRecipe recipe, const std::vector<MeasuredLayer>& measured,
                            const Parameter& parameter) {
  const int64_t out = parameter.shape[0], in = parameter.shape[1];
  const auto found = std::find_if(measured.begin(), measured.end(), [&](const MeasuredLayer& layer) {
    return layer.out == out && layer.in == in;
  });
  if (found == measured.end())
    throw Error(
        Fault::usage,
        {.what = "a layer's products were not measured",
         .where = "precision.follow",
         .found = fmt::format("nothing of {} ({} inputs, {} outputs)", layer_of(parameter.name), in, out),
         .expected = "all layers of the model as a rank holds them, in this recipe",
         .fix = "measure them: strata bench gemm --fp8 --config CONFIG --json > TABLE"});
  recipe.forward.quantized &= found->forward > 1;
  recipe.backward_input.quantized &= found->backward_input > 1;
  recipe.backward_weight.quantized &= found->backward_weight > 1;
  return recipe;
}

}  // namespace

std::span<const QuantizationRecipe> quantization_recipes() { return kRecipes; }

const QuantizationRecipe& quantization_recipe(std::string_view name) {
  for (const QuantizationRecipe& candidate : kRecipes)
    if (candidate.name == name) return candidate;
  std::vector<std::string> names;
  for (const QuantizationRecipe& known : kRecipes) names.emplace_back(known.name);
  throw Error(Fault::usage, {.what = "unknown recipe of 8-bit training",
                             .where = "precision.recipe",
                             .found = fmt::format("\"{}\"", name),
                             .expected = fmt::format("one of {}", fmt::join(names, ", ")),
                             .fix = "write one of these"});
}

std::vector<LayerRecipe> apply_recipe(const RecipeOptions& options, Model& model) {
  const LinearRecipe chosen = linear_recipe(quantization_recipe(options.name), options);
  std::vector<int> used(options.high_precision.size());
  std::vector<LayerRecipe> layers;
  const auto num_layers = static_cast<int64_t>(model.blocks.size()) - 1;  // without the embedding
  for (int64_t layer = 0; layer < num_layers; ++layer)
    for (Parameter& parameter : model.blocks[static_cast<size_t>(layer) + 1]->parameters()) {
      if (parameter.role != Role::linear || !parameter.multiplied) continue;
      std::string_view why;
      if (parameter.format != WeightFormat::none) why = "its weight is kept in blocks";
      if (whole_elements(parameter) < options.smallest) why = "small";
      if (layer < options.keep_first) why = "first layers";
      if (layer >= num_layers - options.keep_last) why = "last layers";
      for (size_t i = 0; i < used.size(); ++i)
        if (is_meant(options.high_precision[i], parameter, used[i])) why = "precision.high_precision";
      parameter.recipe = why.empty() ? chosen : LinearRecipe{};
      if (why.empty() && !options.measured.empty()) {
        parameter.recipe = without_slower(chosen, options.measured, parameter);
        if (!parameter.recipe.any()) why = "slower in 8 bits";
      }
      parameter.recipe.site = static_cast<int>(layers.size());
      layers.push_back({layer_of(parameter.name), parameter.shape.numel(), why});
    }
  for (size_t i = 0; i < used.size(); ++i)
    if (used[i] == 0)
      throw Error(Fault::usage, {.what = "a pattern means no linear layer",
                                 .where = "precision.high_precision",
                                 .found = fmt::format("\"{}\"", options.high_precision[i]),
                                 .expected = "names of linear layers between embedding and head, such as "
                                             "\"layers.0.*\", \"mlp.down\"",
                                 .fix = "remove or correct it"});
  return layers;
}

std::vector<Fp8Format> gradient_formats(const Model& model) {
  std::vector<Fp8Format> formats;
  for (const auto& block : model.blocks)
    for (const Parameter& parameter : block->parameters())
      if (const LinearRecipe& recipe = parameter.recipe; recipe.site >= 0)
        formats.push_back(
            (recipe.backward_input.quantized ? recipe.backward_input : recipe.backward_weight).left.format);
  return formats;
}

}  // namespace strata
