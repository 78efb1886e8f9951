// SPDX-License-Identifier: Apache-2.0
#include "core/step/bindings.h"

namespace strata {

ParameterViews::ParameterViews(const Model& model, const StateLayout& layout, const LinearOp& linear,
                               int block, Stream& stream, const ValueBytes& own, const ValueBytes& tied) {
  const auto parameters = model.parameters(block);
  for (size_t i = 0; i < parameters.size(); ++i)
    append(parameters[i], layout.place(block, i), own, layout, linear, stream);
  if (block + 1 == model.num_blocks() && model.tied())
    append(model.parameters(0)[0], layout.place(0, 0), tied, layout, linear, stream);
}

void ParameterViews::append(const Parameter& parameter, const ParameterPlace& place, const ValueBytes& bytes,
                            const StateLayout& layout, const LinearOp& linear, Stream& stream) {
  auto at = [&](std::byte* base, int64_t offset, DType dtype) {
    return Tensor::borrow(base ? base + offset : nullptr, dtype, parameter.shape, stream.device());
  };
  const Tensor weight = at(bytes.weight, place.weight, layout.weight_dtype());
  if (place.packed >= 0)
    weights_.push_back(linear.bind(stream, weight, bytes.packed ? bytes.packed + place.packed : nullptr));
  else
    weights_.push_back({.weight = weight});
  gradients_.push_back(place.grad >= 0 ? at(bytes.grad, place.grad, DType::f32) : Tensor());
  auto& state = state_.emplace_back();
  for (size_t slot = 0; slot < place.state.size(); ++slot)
    state.push_back(at(bytes.state, place.state[slot], layout.slots()[slot].dtype));
}

}  // namespace strata
