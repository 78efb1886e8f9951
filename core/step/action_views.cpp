// SPDX-License-Identifier: Apache-2.0
#include "core/step/action_views.h"

#include <array>
#include <map>

namespace strata {
namespace {

// Buffers an action finds its block's values in, and those of the table a head is tied to; -1: none.
using Key = std::array<int32_t, 5>;

struct Found {
  Key weights{-1, -1, -1, -1, -1}, gradients{-1, -1, -1, -1, -1};
};

Found find(const LinkedProgram& linked, int32_t position) {
  const Action& action = linked.program.list[static_cast<size_t>(position)];
  Found found;
  for (const Operand& operand : linked.operands_of(position)) {
    if (operand.value.level != 0) continue;
    const size_t side = operand.value.block == action.block ? 0 : 1;
    if (operand.value.cls == ValueClass::weight) found.weights[2 * side] = operand.buffer;
    if (operand.value.cls == ValueClass::packed) found.weights[2 * side + 1] = operand.buffer;
    if (operand.value.cls == ValueClass::grad) found.gradients[side] = operand.buffer;
  }
  found.weights[4] = found.gradients[4] = action.block;
  return found;
}

}  // namespace

ActionViews::ActionViews(const Model& model, const StateLayout& layout, const LinearOp& linear,
                         const LinkedProgram& linked, Stream& stream, std::byte* arena)
    : entries_(linked.actions.size()) {
  const auto bytes = [&](int32_t buffer) -> std::byte* {
    return buffer < 0 || !arena ? nullptr : arena + linked.buffers[static_cast<size_t>(buffer)].offset;
  };
  std::map<Key, const Shared<LinearWeight>*> known_weights;
  std::map<Key, const Shared<Tensor>*> known_gradients;
  for (int32_t i = 0; i < static_cast<int32_t>(linked.actions.size()); ++i) {
    const Action& action = linked.program.list[static_cast<size_t>(i)];
    if (!linked.actions[static_cast<size_t>(i)].runs || action.block < 0) continue;
    const Found found = find(linked, i);
    Entry& entry = entries_[static_cast<size_t>(i)];
    const Key& w = found.weights;
    if (w[0] >= 0 || w[2] >= 0) {
      auto& known = known_weights[w];
      if (!known) {
        weights_.push_back(std::make_unique<Shared<LinearWeight>>(
            Shared<LinearWeight>{bind_weights(model, layout, linear, action.block, stream,
                                              {bytes(w[0]), bytes(w[1])}, {bytes(w[2]), bytes(w[3])})}));
        known = weights_.back().get();
      }
      entry.weights = known;
    }
    const Key& g = found.gradients;
    // A head that is frozen altogether still computes a loss: all its gradients are absent.
    if (g[0] >= 0 || g[1] >= 0 || action.kind == Kind::loss) {
      auto& known = known_gradients[g];
      if (!known) {
        gradients_.push_back(std::make_unique<Shared<Tensor>>(Shared<Tensor>{
            bind_gradients(model, layout, action.block, stream.device(), bytes(g[0]), bytes(g[1]))}));
        known = gradients_.back().get();
      }
      entry.gradients = known;
    }
  }
}

}  // namespace strata
