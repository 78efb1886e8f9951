// SPDX-License-Identifier: Apache-2.0
// Parameters: what a block computes with (physical, possibly fused and padded) and what users and checkpoints
// see (logical: whole, unfused, unpadded, named).
#pragma once

#include <string>
#include <vector>

#include "core/tensor/shape.h"

namespace strata {

enum class Role { embedding, linear, bias, norm };

struct Init {
  enum class Kind { zeros, ones, normal };
  Kind kind = Kind::zeros;
  float std = 0;  // of normal
};

// A logical tensor and where it lies in the physical one: its rows start at `first_row` there.
struct LogicalTensor {
  std::string name;  // "layers.3.attention.query.weight"
  Shape shape;
  Init init;
  int64_t first_row = 0;
};

struct Parameter {
  std::string name;  // within the model; names memory and messages
  Shape shape;       // physical: [rows, columns] or [rows]; rows no piece covers are padding and stay zero
  Role role = Role::linear;
  std::vector<LogicalTensor> pieces;
  // Right operand of matrix products: the step keeps it packed (LinearOp::pack).
  bool multiplied = false;
  bool trainable = true;
};

// Weight decay applies to matrices; norms and biases are left alone.
constexpr bool decays(Role role) { return role == Role::embedding || role == Role::linear; }

}  // namespace strata
