// SPDX-License-Identifier: Apache-2.0
// State format `split`: the bf16 weight is the high half of its own f32 master (split_float.h), the low half
// and bf16 moments (rounded to nearest even) lie beside it. 8 bytes per parameter. The step itself uses the
// moments before they are rounded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/program/update_rule.h"
#include "optim/adamw_scalar.h"
#include "optim/canonical.h"
#include "optim/split_float.h"

namespace strata {

struct SplitState {
  bf16* weight;
  int16_t* master_low;
  bf16* moment1;
  bf16* moment2;

  static constexpr std::string_view kName = "split";
  static constexpr DType kWeight = DType::bf16;
  static constexpr int64_t kUpdateBytes =
      4 + 8 + 8;  // per element: gradient, weight and state read, and written
  static std::vector<StateSlot> slots() {
    return {{"master_low", DType::i16}, {"moment1", DType::bf16}, {"moment2", DType::bf16}};
  }
  static SplitState bind(const Tensor& weight, std::span<const Tensor> state) {
    return {weight.data<bf16>(), state[0].data<int16_t>(), state[1].data<bf16>(), state[2].data<bf16>()};
  }

  // Without a look at the moments.
  [[gnu::always_inline]] STRATA_HD float value(int64_t i) const {
    return join_float({weight[i].bits, master_low[i]});
  }
  [[gnu::always_inline]] STRATA_HD AdamwElement load(int64_t i) const {
    return {value(i), bf16_value(moment1[i].bits), bf16_value(moment2[i].bits)};
  }
  [[gnu::always_inline]] STRATA_HD void store(int64_t i, const AdamwElement& x) const {
    const SplitFloat halves = split_float(x.value);
    weight[i].bits = halves.high;
    master_low[i] = halves.low;
    moment1[i].bits = bf16_bits(x.moment1);
    moment2[i].bits = bf16_bits(x.moment2);
  }
};

}  // namespace strata
