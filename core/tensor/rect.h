// SPDX-License-Identifier: Apache-2.0
// Rectangles of a logical tensor. What a rank, a file or a fused matrix holds is a list of rectangles;
// loading and resharding are intersections of them.
#pragma once

#include <optional>

#include "core/tensor/shape.h"

namespace strata {

// The elements with begin[d] <= index[d] < begin[d] + extent[d] in every dim d.
struct Rect {
  Shape begin;
  Shape extent;

  static Rect whole(const Shape& shape);
  int64_t numel() const { return extent.numel(); }
  friend bool operator==(const Rect&, const Rect&) = default;
};

// The common elements, or nothing. Ranks must agree.
std::optional<Rect> intersect(const Rect& a, const Rect& b);

// The `part`-th of `parts` equal ranges of dim `dim`; the extent must divide.
Rect shard(const Rect& rect, int dim, int64_t parts, int64_t part);

}  // namespace strata
