// SPDX-License-Identifier: Apache-2.0
// The arrays of state that 8-bit moments are: "moment1" and "moment2" of codes, each with its exponents
// behind it.
#pragma once

#include <span>
#include <vector>

#include "core/program/update_rule.h"
#include "optim/moment8.h"

namespace strata {

// `slots` with those four behind them.
std::vector<StateSlot> with_moment8_slots(std::vector<StateSlot> slots);

// Of the four.
Moments8 moments8_of(std::span<const Tensor> slots);

}  // namespace strata
