// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/flat_range.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {

std::vector<RangePart> rects_of_range(const Rect& held, int64_t begin, int64_t end) {
  check(held.extent.rank() == 1 || held.extent.rank() == 2, "[rects_of_range] rank {}", held.extent.rank());
  check(begin >= 0 && end <= held.numel(), "[rects_of_range] [{}, {}) of {} elements", begin, end,
        held.numel());
  std::vector<RangePart> parts;
  if (begin >= end) return parts;
  if (held.extent.rank() == 1) return {{{{held.begin[0] + begin}, {end - begin}}, begin}};
  const int64_t width = held.extent[1];
  const auto add = [&](int64_t from, int64_t to) {  // within one row, or whole rows
    if (from >= to) return;
    const int64_t rows = div_up(to - from, width), columns = rows == 1 ? to - from : width;
    parts.push_back({{{held.begin[0] + from / width, held.begin[1] + from % width}, {rows, columns}}, from});
  };
  const int64_t first_whole = std::min(round_up(begin, width), end);
  const int64_t last_whole = std::max(end / width * width, first_whole);
  add(begin, first_whole);
  add(first_whole, last_whole);
  add(last_whole, end);
  return parts;
}

}  // namespace strata
