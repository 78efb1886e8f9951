// SPDX-License-Identifier: Apache-2.0
// State format `split8`: weight and master as in `split`, moments in 8 bits (moment8.h). 6 bytes per
// parameter, and two for each block of kMomentBlock. The step itself uses the moments before they are
// rounded.
//
// A format in blocks has accessors for an element's value; its moments are taken and kept a block at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/program/update_rule.h"
#include "optim/moment8_slots.h"
#include "optim/split_float.h"

namespace strata {

struct Split8State {
  bf16* weight;
  int16_t* master_low;
  Moments8 moments;

  static constexpr std::string_view kName = "split8";
  static constexpr DType kWeight = DType::bf16;
  static constexpr int64_t kBlock = kMomentBlock;
  static constexpr int64_t kUpdateBytes =
      4 + 6 + 6;  // per element: gradient, weight and state read, and written
  static std::vector<StateSlot> slots() { return with_moment8_slots({{"master_low", DType::i16}}); }
  static Split8State bind(const Tensor& weight, std::span<const Tensor> state) {
    return {weight.data<bf16>(), state[0].data<int16_t>(), moments8_of(state.subspan(1))};
  }

  [[gnu::always_inline]] STRATA_HD float value(int64_t i) const {
    return join_float({weight[i].bits, master_low[i]});
  }
  [[gnu::always_inline]] STRATA_HD void keep(int64_t i, float value, uint32_t /*random*/) const {
    const SplitFloat halves = split_float(value);
    weight[i].bits = halves.high;
    master_low[i] = halves.low;
  }
  // The same of a value that is given, not stepped to.
  [[gnu::always_inline]] STRATA_HD void begin(int64_t i, float value) const { keep(i, value, 0); }
};

}  // namespace strata
