// SPDX-License-Identifier: Apache-2.0
// A parameter with the weight and state an update rule asks for, in memory of its own, and the bits of all of
// it.
#pragma once

#include <bit>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/device/cpu/cpu_stream.h"
#include "core/program/update_rule.h"
#include "core/tensor/bf16.h"
#include "optim/cpu/kernels/adamw_kernels.h"
#include "optim/optimizer_table.h"

namespace strata::test {

struct RuleState {
  Tensor weight;
  std::vector<Tensor> slots;
  Tensor grad;

  RuleState(const UpdateRule& rule, int64_t n) {
    const auto allocator = make_cpu_allocator();
    weight = make_tensor(*allocator, rule.weight_dtype(), {n}, "weight");
    for (const StateSlot& slot : rule.slots())
      slots.push_back(make_tensor(*allocator, slot.dtype, {slot.entries(n)}, slot.name));
    grad = make_tensor(*allocator, DType::f32, {n}, "grad");
  }

  // The elements [begin, begin + count) as an update sees them: whole blocks where the format has some.
  void update(const UpdateRule& rule, Stream& stream, const UpdateScalars& scalars, int64_t begin = 0,
              int64_t count = -1) const {
    if (count < 0) count = weight.numel() - begin;
    std::vector<Tensor> state;
    for (size_t i = 0; i < slots.size(); ++i) {
      const StateSlot& kind = rule.slots()[i];
      state.push_back(slots[i].slice(0, begin / kind.per, kind.entries(count)));
    }
    UpdateSpan span{.weight = weight.slice(0, begin, count),
                    .grad = grad.slice(0, begin, count),
                    .state = state,
                    .scalars = scalars};
    span.scalars.first_index += static_cast<uint64_t>(begin);
    rule.update(stream, span);
  }

  const Tensor& slot(const UpdateRule& rule, std::string_view name) const {
    for (size_t i = 0; i < slots.size(); ++i)
      if (rule.slots()[i].name == name) return slots[i];
    throw ContractError("no such slot");
  }

  // Weight, then the slots: equal strings are equal bits.
  std::string bits() const {
    std::string bytes(reinterpret_cast<const char*>(weight.raw()), static_cast<size_t>(weight.bytes()));
    for (const Tensor& slot : slots)
      bytes.append(reinterpret_cast<const char*>(slot.raw()), static_cast<size_t>(slot.bytes()));
    return bytes;
  }
};

// The numbers that a slot keeps, whatever it keeps them as.
inline std::vector<float> numbers_of(const UpdateRule& rule, const RuleState& state, std::string_view name) {
  const Tensor& slot = state.slot(rule, name);
  std::vector<float> numbers(static_cast<size_t>(slot.numel()));
  for (size_t i = 0; i < rule.slots().size(); ++i)
    if (const StateSlot& kind = rule.slots()[i]; kind.name == name && kind.codec)
      kind.codec->decode(slot.data<uint8_t>(), state.slots[i + 1].data<uint8_t>(), slot.numel(),
                         numbers.data());
  for (size_t i = 0; i < numbers.size() && slot.dtype() != DType::u8; ++i)
    numbers[i] = slot.dtype() == DType::bf16 ? to_float(slot.data<bf16>()[i]) : slot.data<float>()[i];
  return numbers;
}

inline Tensor tensor_of(std::vector<float>& values) {
  return Tensor::borrow(values.data(), DType::f32, {static_cast<int64_t>(values.size())});
}

inline std::vector<float> exported(const UpdateRule& rule, Stream& stream, const RuleState& state) {
  std::vector<float> values(static_cast<size_t>(state.weight.numel()));
  rule.export_values(stream, state.weight, state.slots, tensor_of(values));
  stream.synchronize();
  return values;
}

// Magnitudes as in training: weights around 0.02 to 2, gradients over some orders of magnitude.
inline std::vector<float> normal_values(int64_t n, float scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& x : values) x = normal(random);
  return values;
}

struct IsaKernels {
  Isa isa;
  const cpu::AdamwKernels& kernels;
};

inline uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }

// The name of a row in test names: letters and digits only.
inline std::string row_name(const OptimizerRow& row) {
  return std::string(row.type) + "_" + std::string(row.state) + "_" + std::string(name(row.compute));
}

}  // namespace strata::test
