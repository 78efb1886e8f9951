// SPDX-License-Identifier: Apache-2.0
// A rectangle as runs of elements that follow one another in the whole row-major tensor.
#pragma once

#include <array>
#include <cstdint>

#include "core/tensor/rect.h"

namespace strata {

// Calls body(first, count, at) for each longest run, in row-major order: elements [first, first + count) of
// the tensor of `shape` are elements [at, at + count) of the rectangle.
template <typename Body>
void each_run(const Shape& shape, const Rect& rect, Body body) {
  const int rank = shape.rank();
  if (rect.numel() == 0) return;
  // Dims behind `outer` are whole, so that one run spans them and the dim before them.
  int outer = rank;
  int64_t inner = 1;
  while (outer > 0 && (outer == rank || rect.extent[outer] == shape[outer])) {
    --outer;
    inner *= rect.extent[outer];
  }
  std::array<int64_t, Shape::kMaxRank> pitch{}, index{};
  int64_t step = 1, first = 0;
  for (int d = rank - 1; d >= 0; --d) {
    pitch[static_cast<size_t>(d)] = step;
    first += rect.begin[d] * step;
    step *= shape[d];
  }
  for (int64_t at = 0;; at += inner) {
    body(first, inner, at);
    int d = outer - 1;
    for (; d >= 0; --d) {
      const auto i = static_cast<size_t>(d);
      first += pitch[i];
      if (++index[i] < rect.extent[d]) break;
      first -= pitch[i] * rect.extent[d];
      index[i] = 0;
    }
    if (d < 0) return;
  }
}

}  // namespace strata
