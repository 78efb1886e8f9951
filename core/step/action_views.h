// SPDX-License-Identifier: Apache-2.0
// The weights and gradients that each action of a linked program sees, as tensors over the arena: made once,
// because buffers do not move and a step allocates nothing.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/program/link.h"
#include "core/step/bindings.h"

namespace strata {

class ActionViews {
 public:
  // `arena` is the device tier's; the references must outlive this.
  ActionViews(const Model& model, const StateLayout& layout, const LinearOp& linear,
              const LinkedProgram& linked, Stream& stream, std::byte* arena);

  // Whole weights of the action's block (behind them the shared table of a tied head), and whole gradients
  // where it adds to them.
  std::span<const LinearWeight> weights(int32_t position) const { return at(position).weights->views; }
  std::span<const Tensor> gradients(int32_t position) const { return at(position).gradients->views; }

 private:
  template <typename View>
  struct Shared {
    std::vector<View> views;
  };
  struct Entry {
    const Shared<LinearWeight>* weights = nullptr;
    const Shared<Tensor>* gradients = nullptr;
  };
  const Entry& at(int32_t position) const { return entries_[static_cast<size_t>(position)]; }

  std::vector<Entry> entries_;  // by position
  std::vector<std::unique_ptr<Shared<LinearWeight>>> weights_;
  std::vector<std::unique_ptr<Shared<Tensor>>> gradients_;
};

}  // namespace strata
