// SPDX-License-Identifier: Apache-2.0
// The number formats of a linear layer's three products, as plain data beside its weight. precision/ makes it
// of a recipe's name; a LinearOp follows it.
#pragma once

#include "core/ops/quantize.h"

namespace strata {

// Which operand of the weight gradient dy^T . x.
enum class LinearSide : uint8_t { input, gradient };

// One operand of a product: its codes and how many elements share a factor, along the dim that is summed.
struct OperandRecipe {
  Fp8Format format = Fp8Format::e4m3;
  ScaleShape shape = ScaleShape::tensor;
  bool operator==(const OperandRecipe&) const = default;
};

// One product; where it is not quantized it is one in the dtype of the tensors.
struct ProductRecipe {
  bool quantized = false;
  OperandRecipe left, right;
  bool operator==(const ProductRecipe&) const = default;
};

struct LinearRecipe {
  ProductRecipe forward;          // x . weight^T, sums over the inputs
  ProductRecipe backward_input;   // dy . weight, over the outputs
  ProductRecipe backward_weight;  // dy^T . x, over the tokens
  ScaleKind kind = ScaleKind::f32;
  int site = -1;         // of the layer: its place in tables of counters and of delayed scales
  bool delayed = false;  // factors of x and dy are those of earlier steps
  // Ranks that share the weight gather its codes in place of its values. Needs codes that serve both products
  // of the weight: the same format, and factors of the tensor or of blocks.
  bool gather_codes = false;

  bool weight_has_one_code() const {
    return forward.quantized && backward_input.quantized && forward.right == backward_input.right &&
           (forward.right.shape == ScaleShape::tensor || forward.right.shape == ScaleShape::block);
  }
  bool any() const { return forward.quantized || backward_input.quantized || backward_weight.quantized; }
  bool operator==(const LinearRecipe&) const = default;
};

}  // namespace strata
