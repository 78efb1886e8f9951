// SPDX-License-Identifier: Apache-2.0
// Elements from one strided memory to another: rows, columns and transposes alike.
#pragma once

#include "checkpoint/logical.h"

namespace strata {

using StridedOrigin = StridedBytes<const std::byte>;

// Copies `extent` elements of `element_bytes` (1, 2, 4 or 8) each. The memories do not overlap.
void copy_strided(const Shape& extent, const StridedOrigin& from, const StridedTarget& to,
                  int64_t element_bytes);

}  // namespace strata
