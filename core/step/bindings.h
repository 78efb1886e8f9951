// SPDX-License-Identifier: Apache-2.0
// A block's parameters as tensors over the bytes of its planned values.
#pragma once

#include <span>
#include <vector>

#include "core/nn/model.h"
#include "core/step/state_layout.h"

namespace strata {

// First bytes of a block's values; null where there are none (the meta device, or a value that does not
// exist).
struct ValueBytes {
  std::byte* weight = nullptr;
  std::byte* packed = nullptr;
  std::byte* grad = nullptr;
  std::byte* state = nullptr;
};

class ParameterViews {
 public:
  // Of block `block`, and behind them, when it is a tied head, the shared table of block 0 in `tied`.
  ParameterViews(const Model& model, const StateLayout& layout, const LinearOp& linear, int block,
                 Stream& stream, const ValueBytes& own, const ValueBytes& tied);

  std::span<const LinearWeight> weights() const { return weights_; }
  std::span<const Tensor> gradients() const { return gradients_; }  // absent where frozen
  std::span<const Tensor> state(size_t parameter) const { return state_.at(parameter); }  // in slot order

 private:
  void append(const Parameter& parameter, const ParameterPlace& place, const ValueBytes& bytes,
              const StateLayout& layout, const LinearOp& linear, Stream& stream);

  std::vector<LinearWeight> weights_;
  std::vector<Tensor> gradients_;
  std::vector<std::vector<Tensor>> state_;
};

}  // namespace strata
