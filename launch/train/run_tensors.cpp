// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_tensors.h"

#include "core/base/check.h"

namespace strata {
namespace {

// Slots that hold the value itself, or a part of it: their content is in "param".
bool holds_value(const StateSlot& slot) { return slot.name.starts_with("master"); }

// What checkpoints call a slot.
std::string state_name(const StateSlot& slot) {
  if (slot.name == "moment1") return "m";
  if (slot.name == "moment2") return "v";
  return slot.name;
}

std::string_view name_of(Role role) {
  switch (role) {
    case Role::embedding:
      return "embedding";
    case Role::linear:
      return "linear";
    case Role::bias:
      return "bias";
    case Role::norm:
      return "norm";
  }
  return "";
}

TensorSpec spec_of(const LogicalState& state, std::string name, ElementType type) {
  return {.name = state.name,
          .state = std::move(name),
          .type = type,
          .shape = state.shape,
          .role = std::string(name_of(state.role))};
}

Tensor flat(const Tensor& tensor) { return tensor.view({tensor.numel()}); }

}  // namespace

RunTensors::RunTensors(const StepRunner& runner, const UpdateRule& rule, Stream& stream)
    : rule_(rule), stream_(stream), states_(runner.logical_states()) {}

// Frozen weights have no state and are what they are; f32 weights without a master are the values.
bool RunTensors::keeps_values_apart(const LogicalState& state) const {
  return !state.state.empty() && state.weight.dtype() != DType::f32;
}

float* RunTensors::values_of(const LogicalState& state) {
  return values_.emplace_back(static_cast<size_t>(state.weight.numel())).data();
}

std::vector<SaveItem> RunTensors::save_items() {
  values_.clear();
  std::vector<SaveItem> items;
  for (const LogicalState& state : states_) {
    if (!keeps_values_apart(state)) {
      items.push_back(
          {spec_of(state, "param", element_type(state.weight.dtype())), state.held, state.weight.raw()});
    } else {
      float* const values = values_of(state);
      rule_.export_values(stream_, state.weight, state.state,
                          Tensor::borrow(values, DType::f32, state.held.extent));
      items.push_back(
          {spec_of(state, "param", ElementType::f32), state.held, reinterpret_cast<std::byte*>(values)});
    }
    for (size_t slot = 0; slot < state.state.size(); ++slot)
      if (const StateSlot& kind = rule_.slots()[slot]; !holds_value(kind))
        items.push_back({spec_of(state, state_name(kind), element_type(kind.dtype)), state.held,
                         state.state[slot].raw()});
  }
  stream_.synchronize();
  return items;
}

RestoreReport RunTensors::restore(const TensorSource& source, Peers& peers, WorkerPool& pool,
                                  const RestoreRules& rules) {
  values_.clear();
  std::vector<RestoreItem> items;
  std::vector<std::pair<const LogicalState*, float*>> apart;
  const auto stored_as_is = [&](const LogicalState& state) {
    for (const TensorSpec& stored : source.tensors())
      if (stored.name == state.name && stored.state == "param")
        return stored.type == element_type(state.weight.dtype());
    return true;
  };
  for (const LogicalState& state : states_) {
    const bool values_needed = state.state.empty()
                                   ? state.weight.dtype() != DType::f32 && !stored_as_is(state)
                                   : keeps_values_apart(state);
    if (!values_needed) {
      items.push_back(
          {spec_of(state, "param", element_type(state.weight.dtype())), state.held, state.weight.raw()});
    } else {
      apart.emplace_back(&state, values_of(state));
      items.push_back({spec_of(state, "param", ElementType::f32), state.held,
                       reinterpret_cast<std::byte*>(apart.back().second)});
    }
    for (size_t slot = 0; slot < state.state.size(); ++slot)
      if (const StateSlot& kind = rule_.slots()[slot]; !holds_value(kind))
        items.push_back({spec_of(state, state_name(kind), element_type(kind.dtype)), state.held,
                         state.state[slot].raw()});
  }
  RestoreReport report = strata::restore(source, peers, items, pool, rules);
  for (const auto& [state, values] : apart) take_values(*state, values);
  values_.clear();
  return report;
}

// The rule makes weight and masters of the values as it did at the start of training; it also clears the
// moments, which were loaded: those it gets elsewhere.
void RunTensors::take_values(const LogicalState& state, float* values) {
  std::vector<std::vector<std::byte>> scratch;
  std::vector<Tensor> slots;
  for (size_t slot = 0; slot < rule_.slots().size(); ++slot) {
    const StateSlot& kind = rule_.slots()[slot];
    if (slot < state.state.size() && holds_value(kind)) {
      slots.push_back(flat(state.state[slot]));
      continue;
    }
    auto& bytes = scratch.emplace_back(static_cast<size_t>(state.weight.numel() * size_of(kind.dtype)));
    slots.push_back(Tensor::borrow(bytes.data(), kind.dtype, {state.weight.numel()}));
  }
  rule_.initialize(stream_, Tensor::borrow(values, DType::f32, {state.weight.numel()}), flat(state.weight),
                   slots);
  stream_.synchronize();
}

}  // namespace strata
