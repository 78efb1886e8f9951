// SPDX-License-Identifier: Apache-2.0
// The waits of a linked program: for every action, whom it must wait for so that no value and no reused byte
// is touched too early. Part of link().
#pragma once

#include "core/program/link.h"

namespace strata {

// Fills linked.waits from its lanes, operands and addresses. The list is taken twice, one copy after the
// other, and the second copy's waits are kept: those that point into the first copy are waits on the previous
// step.
void derive_waits(LinkedProgram& linked);

}  // namespace strata
