// SPDX-License-Identifier: Apache-2.0
// State format `sr8`: a bf16 weight that is its own master, rounded stochastically after each step (the mean
// of what is kept is the number itself, core/tensor/stochastic_rounding.h), moments in 8 bits (moment8.h). 4
// bytes per parameter, and two for each block of kMomentBlock.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/program/update_rule.h"
#include "optim/canonical.h"
#include "optim/moment8_slots.h"

namespace strata {

struct Sr8State {
  bf16* weight;
  Moments8 moments;

  static constexpr std::string_view kName = "sr8";
  static constexpr DType kWeight = DType::bf16;
  static constexpr int64_t kBlock = kMomentBlock;
  static constexpr int64_t kUpdateBytes =
      4 + 4 + 4;  // per element: gradient, weight and state read, and written
  static std::vector<StateSlot> slots() { return with_moment8_slots({}); }
  static Sr8State bind(const Tensor& weight, std::span<const Tensor> state) {
    return {weight.data<bf16>(), moments8_of(state)};
  }

  [[gnu::always_inline]] STRATA_HD float value(int64_t i) const { return bf16_value(weight[i].bits); }
  [[gnu::always_inline]] STRATA_HD void keep(int64_t i, float value, uint32_t random) const {
    weight[i].bits = stochastic_bf16_bits(value, moment8::weight_bits(random));
  }
  // The nearest: where a model begins, nothing has to have a mean.
  [[gnu::always_inline]] STRATA_HD void begin(int64_t i, float value) const {
    weight[i].bits = bf16_bits(value);
  }
};

}  // namespace strata
