// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/flat_range.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {

std::vector<Rect> rects_of_flat_range(const Shape& shape, int64_t begin, int64_t count) {
  check(begin >= 0 && count >= 0 && begin <= shape.numel() && count <= shape.numel() - begin,
        "[flat range] {} at {} of {}", count, begin, shape);
  std::vector<Rect> rects;
  while (count > 0) {
    // The largest block that begins here: whole inner dims, and as many steps of the next one as there are.
    Rect rect{.begin = shape, .extent = shape};
    int64_t rest = begin;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      rect.begin.set(d, rest % shape[d]);
      rest /= shape[d];
      rect.extent.set(d, 1);
    }
    int64_t block = 1;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      const int64_t steps = std::min(shape[d] - rect.begin[d], count / block);
      rect.extent.set(d, steps);
      const bool whole = steps == shape[d];
      block *= steps;
      if (!whole) break;
      if (d > 0 && count / block == 0) break;
    }
    rects.push_back(rect);
    begin += block;
    count -= block;
  }
  return rects;
}

}  // namespace strata
