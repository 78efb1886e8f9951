// SPDX-License-Identifier: Apache-2.0
// Where the parts of every parameter lie inside the planned values of its block: weight, packed layouts,
// gradient and each array of optimizer state.
#pragma once

#include <span>
#include <vector>

#include "core/nn/model.h"
#include "core/program/update_rule.h"
#include "core/program/value.h"

namespace strata {

// Byte offsets inside the block's weight, packed, grad and state values.
struct ParameterPlace {
  int64_t weight = 0;
  int64_t packed = -1;  // -1: not multiplied
  int64_t grad = -1;    // -1: frozen
  std::vector<int64_t> state;
};

class StateLayout {
 public:
  // `rule` null: weights only, for evaluation. `target` is the device whose packed layouts are meant.
  StateLayout(const Model& model, const UpdateRule* rule, const LinearOp& linear, Device target);

  DType weight_dtype() const { return weight_dtype_; }
  bool trains() const { return trains_; }                      // made with a rule
  std::span<const StateSlot> slots() const { return slots_; }  // empty without a rule
  // Bytes of a block's value; cls is weight, packed, grad or state.
  int64_t bytes(ValueClass cls, int block) const;
  const ParameterPlace& place(int block, size_t parameter) const {
    return places_[static_cast<size_t>(block)][parameter];
  }

 private:
  struct BlockBytes {
    int64_t weight = 0, packed = 0, grad = 0, state = 0;
  };
  DType weight_dtype_;
  bool trains_;
  std::vector<StateSlot> slots_;
  std::vector<std::vector<ParameterPlace>> places_;
  std::vector<BlockBytes> bytes_;
};

}  // namespace strata
