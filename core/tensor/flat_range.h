// SPDX-License-Identifier: Apache-2.0
// A run of consecutive elements of a row-major rectangle, as rectangles.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor/rect.h"

namespace strata {

struct RangePart {
  Rect rect;          // in the coordinates of the whole tensor
  int64_t begin = 0;  // its first element, counted in the range's rectangle
};

// The elements [begin, end) of `held`, counted row by row, as at most three rectangles: the end of a row,
// whole rows, the beginning of a row. Rank 1 or 2.
std::vector<RangePart> rects_of_range(const Rect& held, int64_t begin, int64_t end);

}  // namespace strata
