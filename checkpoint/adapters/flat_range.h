// SPDX-License-Identifier: Apache-2.0
// A range of a tensor's elements in row-major order as rectangles: how optimizers that shard flat buffers
// (ZeRO) cut tensors.
#pragma once

#include <vector>

#include "core/tensor/rect.h"

namespace strata {

// Rectangles that hold elements [begin, begin + count) of `shape`, in that order; each is contiguous. At most
// two a dim and one more. The range lies in the shape.
std::vector<Rect> rects_of_flat_range(const Shape& shape, int64_t begin, int64_t count);

}  // namespace strata
