// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/tiling.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {
namespace {

struct Corner {
  Shape at;
  int sign;
};

bool before(const Shape& a, const Shape& b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

void add_corners(std::vector<Corner>& corners, const Rect& rect, int sign) {
  const int rank = rect.extent.rank();
  for (unsigned which = 0; which < 1u << rank; ++which) {
    Corner corner{rect.begin, sign};
    for (int d = 0; d < rank; ++d) {
      if (!(which >> d & 1)) continue;
      corner.at.set(d, rect.begin[d] + rect.extent[d]);
      corner.sign = -corner.sign;
    }
    corners.push_back(corner);
  }
}

}  // namespace

std::optional<TilingFault> find_tiling_fault(const Shape& shape, std::span<const Rect> rects) {
  if (shape.numel() == 0) {
    check(rects.empty(), "[tiling] parts of a tensor {} without elements", shape);
    return std::nullopt;
  }
  std::vector<Corner> corners;
  corners.reserve((rects.size() + 1) << shape.rank());
  add_corners(corners, Rect::whole(shape), -1);
  for (const Rect& rect : rects) {
    check(rect.extent.rank() == shape.rank() && rect.begin.rank() == shape.rank(), "[tiling] ranks differ");
    for (int d = 0; d < shape.rank(); ++d)
      check(rect.begin[d] >= 0 && rect.extent[d] > 0 && rect.begin[d] <= shape[d] - rect.extent[d],
            "[tiling] {} + {} outside of {}", rect.begin, rect.extent, shape);
    add_corners(corners, rect, 1);
  }
  std::sort(corners.begin(), corners.end(),
            [](const Corner& a, const Corner& b) { return before(a.at, b.at); });
  for (size_t i = 0; i < corners.size();) {
    int sum = 0;
    size_t end = i;
    for (; end < corners.size() && corners[end].at == corners[i].at; ++end) sum += corners[end].sign;
    if (sum != 0) return TilingFault{corners[i].at, 1 + sum};
    i = end;
  }
  return std::nullopt;
}

}  // namespace strata
