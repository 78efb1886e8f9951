// SPDX-License-Identifier: Apache-2.0
// State format `fp32` for models that compute in f32: the weight is the master itself. 12 bytes per
// parameter.
//
// A state format is a struct of pointers to element 0 of a span with accessors for one element, shared by all
// devices; the loops over it are in cpu/ (and one day cuda/). Accessors of different elements touch different
// bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/program/update_rule.h"
#include "optim/adamw_scalar.h"

namespace strata {

struct Fp32State {
  float* weight;
  float* moment1;
  float* moment2;

  static constexpr std::string_view kName = "fp32";
  static constexpr DType kWeight = DType::f32;
  static constexpr int64_t kUpdateBytes = 4 + 12 + 12;  // per element: gradient, state read, state written
  static std::vector<StateSlot> slots() { return {{"moment1", DType::f32}, {"moment2", DType::f32}}; }
  static Fp32State bind(const Tensor& weight, std::span<const Tensor> state) {
    return {weight.data<float>(), state[0].data<float>(), state[1].data<float>()};
  }

  // Without a look at the moments.
  [[gnu::always_inline]] STRATA_HD float value(int64_t i) const { return weight[i]; }
  [[gnu::always_inline]] STRATA_HD AdamwElement load(int64_t i) const {
    return {weight[i], moment1[i], moment2[i]};
  }
  [[gnu::always_inline]] STRATA_HD void store(int64_t i, const AdamwElement& x) const {
    weight[i] = x.value;
    moment1[i] = x.moment1;
    moment2[i] = x.moment2;
  }
};

}  // namespace strata
