// SPDX-License-Identifier: Apache-2.0
// Costs to count with: a forward and each backward of a block between the first and the head take 1, what
// its forward keeps is one unit of 64 bytes; all else takes no time and no memory.
#pragma once

#include "core/program/cost_model.h"

namespace strata {

class UnitCosts : public CostModel {
 public:
  static constexpr int64_t kUnit = 64;

  int64_t bytes(const Value& value) const override {
    return value.cls == ValueClass::saved_weight ? kUnit : 0;
  }
  int64_t scratch_bytes(const Action&) const override { return 0; }
  double seconds(const Action& action) const override {
    const bool block = action.kind == Kind::forward || action.kind == Kind::backward_input ||
                       action.kind == Kind::backward_weight;
    return block && action.block > 0 ? 1 : 0;
  }
};

}  // namespace strata
