// SPDX-License-Identifier: Apache-2.0
#include "core/step/bindings.h"

namespace strata {
namespace {

bool tied_head(const Model& model, int block) { return block + 1 == model.num_blocks() && model.tied(); }

std::byte* at(std::byte* base, int64_t offset) { return base ? base + offset : nullptr; }

LinearWeight bind_weight(const Parameter& parameter, const ParameterPlace& place, const StateLayout& layout,
                         const LinearOp& linear, Stream& stream, const WeightBytes& bytes) {
  if (place.format != WeightFormat::none)
    return {
        .blocks = {Tensor::borrow(at(bytes.weight, place.weight[0]), DType::u8,
                                  {encoded_bytes(place.format, parameter.shape.numel())}, stream.device()),
                   place.format, parameter.shape}};
  if (place.scales >= 0)
    return linear.bind_codes(stream, gathered_codes(parameter, place, stream.device(), bytes.weight),
                             at(bytes.packed, place.packed), parameter.recipe);
  const Tensor weight = Tensor::borrow(at(bytes.weight, place.weight[0]), layout.weight_dtype(),
                                       parameter.shape, stream.device());
  if (place.packed < 0) return {.weight = weight};
  return linear.bind(stream, weight, at(bytes.packed, place.packed), parameter.recipe);
}

Tensor bind_gradient(const Parameter& parameter, const ParameterPlace& place, Device device,
                     std::byte* bytes) {
  if (place.grad.empty()) return {};
  return Tensor::borrow(at(bytes, place.grad[0]), DType::f32, parameter.shape, device);
}

}  // namespace

std::vector<LinearWeight> bind_weights(const Model& model, const StateLayout& layout, const LinearOp& linear,
                                       int block, Stream& stream, const WeightBytes& own,
                                       const WeightBytes& tied) {
  std::vector<LinearWeight> weights;
  const auto parameters = model.parameters(block);
  for (size_t i = 0; i < parameters.size(); ++i)
    weights.push_back(bind_weight(parameters[i], layout.place(block, i), layout, linear, stream, own));
  if (tied_head(model, block))
    weights.push_back(bind_weight(model.parameters(0)[0], layout.place(0, 0), layout, linear, stream, tied));
  return weights;
}

std::vector<Tensor> bind_gradients(const Model& model, const StateLayout& layout, int block, Device device,
                                   std::byte* own, std::byte* tied) {
  std::vector<Tensor> gradients;
  const auto parameters = model.parameters(block);
  for (size_t i = 0; i < parameters.size(); ++i)
    gradients.push_back(bind_gradient(parameters[i], layout.place(block, i), device, own));
  if (tied_head(model, block))
    gradients.push_back(bind_gradient(model.parameters(0)[0], layout.place(0, 0), device, tied));
  return gradients;
}

Tensor weight_shard(const StateLayout& layout, int block, size_t parameter, int level, Device device,
                    std::byte* bytes) {
  const ParameterPlace& place = layout.place(block, parameter);
  const int64_t elements = layout.shard_elements(block, parameter, level);
  const bool in_blocks = place.format != WeightFormat::none;
  const bool codes = level == 0 && place.scales >= 0;
  return Tensor::borrow(at(bytes, place.weight[static_cast<size_t>(level)]),
                        in_blocks ? DType::u8
                        : codes   ? DType::f8e4m3
                                  : layout.weight_dtype(),
                        {in_blocks ? encoded_bytes(place.format, elements) : elements}, device);
}

Quantized gathered_codes(const Parameter& parameter, const ParameterPlace& place, Device device,
                         std::byte* bytes) {
  const OperandRecipe& recipe = parameter.recipe.forward.right;
  return {Tensor::borrow(at(bytes, place.weight[0]), dtype_of(recipe.format), parameter.shape, device),
          Tensor::borrow(at(bytes, place.scales), DType::f32,
                         scales_shape(recipe.shape, parameter.shape[0], parameter.shape[1]), device),
          recipe.shape};
}

Tensor gradient_shard(const StateLayout& layout, int block, size_t parameter, int level, Device device,
                      std::byte* bytes) {
  const ParameterPlace& place = layout.place(block, parameter);
  if (place.grad.empty()) return {};
  return Tensor::borrow(at(bytes, place.grad[static_cast<size_t>(level)]), DType::f32,
                        {layout.shard_elements(block, parameter, level)}, device);
}

std::vector<Tensor> bind_state(const StateLayout& layout, int block, size_t parameter, Device device,
                               const StateBytes& bytes) {
  std::vector<Tensor> state;
  const ParameterPlace& place = layout.place(block, parameter);
  const int64_t elements = layout.shard_elements(block, parameter, layout.partition().state_level());
  for (size_t slot = 0; slot < place.state.size(); ++slot) {
    const StateSlot& kind = layout.slots()[slot];
    state.push_back(Tensor::borrow(
        at(class_of(kind) == ValueClass::master ? bytes.master : bytes.moments, place.state[slot]),
        kind.dtype, {kind.entries(elements)}, device));
  }
  return state;
}

}  // namespace strata
