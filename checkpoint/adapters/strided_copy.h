// SPDX-License-Identifier: Apache-2.0
// Elements from one strided memory to another: rows, columns and transposes alike; and a rectangle in parts,
// for those who change elements on the way.
#pragma once

#include "checkpoint/logical.h"

namespace strata {

using StridedOrigin = StridedBytes<const std::byte>;

// Copies `extent` elements of `element_bytes` (1, 2, 4 or 8) each. The memories do not overlap.
void copy_strided(const Shape& extent, const StridedOrigin& from, const StridedTarget& to,
                  int64_t element_bytes);

// Calls `f` with parts of `rect` (of the tensor, at most `elements` each) and where each of them goes.
template <typename F>
void for_parts(const Rect& rect, const StridedTarget& into, int64_t elements, const F& f) {
  for (Rect part : cut_rows(rect.extent, 1, elements)) {
    StridedTarget target = into;
    for (int d = 0; d < rect.extent.rank(); ++d) {
      target.data += part.begin[d] * into.strides[static_cast<size_t>(d)];
      part.begin.set(d, part.begin[d] + rect.begin[d]);
    }
    f(part, target);
  }
}

}  // namespace strata
