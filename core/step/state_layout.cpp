// SPDX-License-Identifier: Apache-2.0
#include "core/step/state_layout.h"

#include "core/base/check.h"
#include "core/device/meta_stream.h"

namespace strata {
namespace {

// Places `size` bytes behind what is there already.
int64_t append(int64_t& total, int64_t size) {
  const int64_t offset = total;
  total += round_up(size, kTensorAlignment);
  return offset;
}

}  // namespace

StateLayout::StateLayout(const Model& model, const UpdateRule* rule, const LinearOp& linear, Device target)
    : weight_dtype_(rule ? rule->weight_dtype() : model.compute), trains_(rule != nullptr) {
  check(weight_dtype_ == model.compute, "[state] rule '{}' keeps {} weights, the model computes in {}",
        rule ? rule->name() : "", name(weight_dtype_), name(model.compute));
  if (rule) slots_.assign(rule->slots().begin(), rule->slots().end());
  MetaStream stream(target);
  for (int block = 0; block < model.num_blocks(); ++block) {
    auto& places = places_.emplace_back();
    BlockBytes& bytes = bytes_.emplace_back();
    for (const Parameter& parameter : model.parameters(block)) {
      const int64_t count = parameter.shape.numel();
      ParameterPlace& place = places.emplace_back();
      place.weight = append(bytes.weight, count * size_of(weight_dtype_));
      if (parameter.multiplied)
        place.packed = append(bytes.packed, linear.packed_bytes(stream, weight_dtype_, parameter.shape));
      if (!rule || !parameter.trainable) continue;
      place.grad = append(bytes.grad, count * size_of(DType::f32));
      for (const StateSlot& slot : slots_)
        place.state.push_back(append(bytes.state, count * size_of(slot.dtype)));
    }
  }
}

int64_t StateLayout::bytes(ValueClass cls, int block) const {
  const BlockBytes& bytes = bytes_.at(static_cast<size_t>(block));
  switch (cls) {
    case ValueClass::weight:
      return bytes.weight;
    case ValueClass::packed:
      return bytes.packed;
    case ValueClass::grad:
      return bytes.grad;
    case ValueClass::state:
      return bytes.state;
    default:
      fail_contract(fmt::format("[state] {} is not state", name(cls)));
  }
}

}  // namespace strata
