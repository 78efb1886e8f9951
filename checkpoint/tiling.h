// SPDX-License-Identifier: Apache-2.0
// The proof that rectangles cover a tensor exactly once, whatever their shapes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/rect.h"

namespace strata {

// Where rectangles fail to cover `shape` once.
struct TilingFault {
  Shape element;    // the first wrong element, in row-major order
  int covered = 0;  // how many rectangles hold it: 0 or at least 2
};

// Nothing when every element lies in exactly one of `rects`, each of which lies in the shape and is not empty
// (ContractError otherwise). Takes O(n 2^rank log n).
//
// A rectangle's indicator function is a signed sum of orthants at its corners, and orthants are linearly
// independent: the sum of the indicators is that of the shape if and only if the signed corners are those of
// the shape. The first corner that is left over, in row-major order, is the first wrong element.
std::optional<TilingFault> find_tiling_fault(const Shape& shape, std::span<const Rect> rects);

}  // namespace strata
