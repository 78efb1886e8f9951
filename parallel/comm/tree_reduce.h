// SPDX-License-Identifier: Apache-2.0
// The arithmetic of every reduction over members: element by element, a balanced binary tree in the members'
// order.
//
// The tree of n inputs joins the tree of the first bit_floor(n - 1) with that of the rest, as a binary
// counter does: ((0+1)+(2+3)) + (4). f32 and bf16 are added in f32 and rounded once at the end; i64 wraps. A
// maximum is NaN when any input is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/dist/collective.h"

namespace strata {

// out[i] = reduction over all k of inputs[k][i], i < count. `type` is f32, bf16 or i64; `out` may be one of
// the inputs.
void tree_reduce(DType type, Reduction reduction, std::span<const std::byte* const> inputs, std::byte* out,
                 int64_t count);

}  // namespace strata
