// SPDX-License-Identifier: Apache-2.0
// Recipes of 8-bit training: which number format and which factors every product of a linear layer uses.
// A recipe is a name in a table; applied to a model it becomes data beside the layers' weights.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/nn/model.h"

namespace strata {

struct QuantizationRecipe {
  std::string_view name;
  std::string_view doc;  // for people
  // Elements that share a factor: of activations and gradients along the sum, of weights, and of both
  // operands of the weight gradient.
  ScaleShape rows, weight, columns;
  Fp8Format gradient;  // of dy; everything else is e4m3
  ScaleKind kind;      // of the factors, unless the options say otherwise
  bool delayed;        // factors of activations and gradients come from earlier steps
};

// tensor-current, tensor-delayed, tensor-hybrid, row, block (DeepSeek-V3, arXiv:2412.19437, section 3.3) and
// block-hybrid.
std::span<const QuantizationRecipe> quantization_recipes();
// Throws Error(usage) that lists them.
const QuantizationRecipe& quantization_recipe(std::string_view name);

// How fast the products of layers [out, in] are in 8 bits, quantizing included, beside bf16.
struct MeasuredLayer {
  int64_t out = 0, in = 0;
  double forward = 0, backward_input = 0, backward_weight = 0;
};

struct RecipeOptions {
  std::string name = "block";
  std::optional<ScaleKind> scales;  // of factors; absent: the recipe's
  // Which products are quantized.
  bool forward = true, backward_input = true, backward_weight = true;
  // Linear layers left in bf16: those that a pattern means (as adapters' targets do), those of the first and
  // last layers, and matrices of fewer elements (of the whole matrix, not of a rank's share).
  std::vector<std::string> high_precision;
  int64_t keep_first = 0, keep_last = 0;
  int64_t smallest = 0;
  // Where there are any: a product that is not faster (above 1) is left in bf16, and every layer that is not
  // left out must be among them in its shape here.
  std::vector<MeasuredLayer> measured;
  // Ranks that share weights gather their codes (LinearRecipe::gather_codes).
  bool gather_codes = false;
};

// Of one linear layer (fused: of all its pieces).
struct LayerRecipe {
  std::string layer;     // "layers.3.attention.qkv"
  int64_t elements = 0;  // held here
  std::string_view why;  // it is left in bf16; empty: it is quantized
};

// Gives every linear layer between embedding and head of `model` its recipe and its site: the place in tables
// of counters and delayed factors, in the order of blocks and parameters, the same on every rank. Returns all
// of them in that order. Throws Error(usage) for an unknown name, for a pattern that means no layer, or only
// some of those fused into one matrix, for a layer that was not measured, and where codes are to be gathered
// that do not serve both products of a weight.
std::vector<LayerRecipe> apply_recipe(const RecipeOptions& options, Model& model);

// Of a model that has its recipes, by site: the format of dy.
std::vector<Fp8Format> gradient_formats(const Model& model);

}  // namespace strata
