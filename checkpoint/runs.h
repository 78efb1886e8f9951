// SPDX-License-Identifier: Apache-2.0
// A rectangle as runs of elements that follow one another in the whole row-major tensor.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "core/tensor/rect.h"

namespace strata {

// Calls body(first, count, at) for each longest run among elements [from, until) of the rectangle, in
// row-major order: elements [first, first + count) of the tensor of `shape` are elements [at, at + count) of
// the rectangle.
template <typename Body>
void each_run(const Shape& shape, const Rect& rect, int64_t from, int64_t until, Body body) {
  const int rank = shape.rank();
  if (from >= until) return;
  // Dims behind `outer` are whole, so that one run spans them and the dim before them.
  int outer = rank;
  int64_t inner = 1;
  while (outer > 0 && (outer == rank || rect.extent[outer] == shape[outer])) {
    --outer;
    inner *= rect.extent[outer];
  }
  std::array<int64_t, Shape::kMaxRank> pitch{}, index{};
  int64_t step = 1, first = 0;
  int64_t run = from / inner;  // the first one's number, which says where it begins
  for (int d = rank - 1; d >= 0; --d) {
    const auto i = static_cast<size_t>(d);
    pitch[i] = step;
    if (d < outer) {
      index[i] = run % rect.extent[d];
      run /= rect.extent[d];
    }
    first += (rect.begin[d] + index[i]) * step;
    step *= shape[d];
  }
  for (int64_t at = from / inner * inner; at < until; at += inner) {
    const int64_t skipped = std::max<int64_t>(from - at, 0);
    body(first + skipped, std::min(inner, until - at) - skipped, at + skipped);
    for (int d = outer - 1; d >= 0; --d) {
      const auto i = static_cast<size_t>(d);
      first += pitch[i];
      if (++index[i] < rect.extent[d]) break;
      first -= pitch[i] * rect.extent[d];
      index[i] = 0;
    }
  }
}

// Of the whole rectangle.
template <typename Body>
void each_run(const Shape& shape, const Rect& rect, Body body) {
  each_run(shape, rect, 0, rect.numel(), std::move(body));
}

}  // namespace strata
