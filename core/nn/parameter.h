// SPDX-License-Identifier: Apache-2.0
// Parameters: what a block computes with (physical, possibly fused and padded) and what users and checkpoints
// see (logical: whole, unfused, unpadded, named).
#pragma once

#include <string>
#include <vector>

#include "core/format/weight_format.h"
#include "core/nn/linear_recipe.h"
#include "core/tensor/placement.h"
#include "core/tensor/rect.h"

namespace strata {

enum class Role { embedding, linear, bias, norm, adapter };

struct Init {
  enum class Kind { zeros, ones, normal, uniform };
  Kind kind = Kind::zeros;
  float std = 0;  // of normal, and of uniform: between -sqrt(3) std and sqrt(3) std
};

// A logical tensor, what of it is held here, and where that lies in the physical one: rows [first_row,
// first_row + held.extent[0]), all columns.
struct LogicalTensor {
  std::string name;  // "layers.3.attention.query.weight"
  Shape shape;       // of the whole
  Init init;
  int64_t first_row = 0;
  Rect held;  // of the whole; may be empty (a part of the vocabulary that is all padding)
};

struct Parameter {
  std::string name;  // within the model; names memory and messages
  Shape shape;  // physical, here: [rows, columns] or [rows]; rows no piece covers are padding and stay zero
  Role role = Role::linear;
  std::vector<LogicalTensor> pieces;
  // Right operand of matrix products: the step keeps it packed (LinearOp::pack).
  bool multiplied = false;
  bool trainable = true;
  // Of a linear layer: the number formats of its products.
  LinearRecipe recipe = {};
  // Of the values of a frozen matrix: in blocks along its rows, decoded before every product. Never packed.
  WeightFormat format = WeightFormat::none;
  // Over the tensor axis. A value is replicated or sharded; a partial gradient is an addend that the step
  // must sum.
  AxisPlacement value = {};
  AxisPlacement gradient = {};
};

// Weight decay applies to matrices; norms and biases are left alone.
constexpr bool decays(Role role) {
  return role == Role::embedding || role == Role::linear || role == Role::adapter;
}

}  // namespace strata
