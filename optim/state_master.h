// SPDX-License-Identifier: Apache-2.0
// State format `fp32` for models that compute in bf16: f32 master and moments beside the bf16 weight, which
// is the master rounded to nearest even and is written, never read. 14 bytes per parameter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/program/update_rule.h"
#include "optim/adamw_scalar.h"
#include "optim/canonical.h"

namespace strata {

struct MasterState {
  bf16* weight;
  float* master;
  float* moment1;
  float* moment2;

  static constexpr std::string_view kName = "fp32";
  static constexpr DType kWeight = DType::bf16;
  static constexpr int64_t kUpdateBytes =
      4 + 12 + 14;  // per element: gradient, state read, state and weight written
  static std::vector<StateSlot> slots() {
    return {{"master", DType::f32}, {"moment1", DType::f32}, {"moment2", DType::f32}};
  }
  static MasterState bind(const Tensor& weight, std::span<const Tensor> state) {
    return {weight.data<bf16>(), state[0].data<float>(), state[1].data<float>(), state[2].data<float>()};
  }

  // Without a look at the moments.
  [[gnu::always_inline]] STRATA_HD float value(int64_t i) const { return master[i]; }
  [[gnu::always_inline]] STRATA_HD AdamwElement load(int64_t i) const {
    return {master[i], moment1[i], moment2[i]};
  }
  [[gnu::always_inline]] STRATA_HD void store(int64_t i, const AdamwElement& x) const {
    weight[i].bits = bf16_bits(x.value);
    master[i] = x.value;
    moment1[i] = x.moment1;
    moment2[i] = x.moment2;
  }
};

}  // namespace strata
