// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/placement.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {

Rect Rect::whole(const Shape& shape) {
  Rect rect{shape, shape};
  for (int d = 0; d < shape.rank(); ++d) rect.begin.set(d, 0);
  return rect;
}

std::optional<Rect> intersect(const Rect& a, const Rect& b) {
  check(a.begin.rank() == b.begin.rank(), "[rect] ranks differ: {} and {}", a.begin.rank(), b.begin.rank());
  Rect common = a;
  for (int d = 0; d < a.begin.rank(); ++d) {
    const int64_t begin = std::max(a.begin[d], b.begin[d]);
    const int64_t end = std::min(a.begin[d] + a.extent[d], b.begin[d] + b.extent[d]);
    if (begin >= end) return std::nullopt;
    common.begin.set(d, begin);
    common.extent.set(d, end - begin);
  }
  return common;
}

Rect shard(const Rect& rect, int dim, int64_t parts, int64_t part) {
  check(dim >= 0 && dim < rect.extent.rank(), "[shard] dim {} of {}", dim, rect.extent);
  check(part >= 0 && part < parts, "[shard] part {} of {}", part, parts);
  check(rect.extent[dim] % parts == 0, "[shard] {} does not divide into {} parts along dim {}", rect.extent,
        parts, dim);
  const int64_t extent = rect.extent[dim] / parts;
  Rect result = rect;
  result.begin.set(dim, rect.begin[dim] + part * extent);
  result.extent.set(dim, extent);
  return result;
}

Rect local_rect(const Shape& shape, const Placement& placement, const std::vector<int64_t>& sizes,
                const std::vector<int64_t>& coordinate) {
  check(placement.axes.size() == sizes.size() && sizes.size() == coordinate.size(),
        "[placement] {} axes placed, mesh has {}, coordinate has {}", placement.axes.size(), sizes.size(),
        coordinate.size());
  Rect rect = Rect::whole(shape);
  for (size_t axis = 0; axis < sizes.size(); ++axis)
    if (placement.axes[axis].kind == AxisPlacement::Kind::shard)
      rect = shard(rect, placement.axes[axis].dim, sizes[axis], coordinate[axis]);
  return rect;
}

std::string to_string(const Placement& placement) {
  std::string text;
  for (const AxisPlacement& axis : placement.axes) {
    if (!text.empty()) text += ' ';
    switch (axis.kind) {
      case AxisPlacement::Kind::replicate:
        text += "replicate";
        break;
      case AxisPlacement::Kind::partial:
        text += "partial";
        break;
      case AxisPlacement::Kind::shard:
        text += fmt::format("shard({})", axis.dim);
        break;
    }
  }
  return text;
}

}  // namespace strata
