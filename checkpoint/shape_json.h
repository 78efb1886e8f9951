// SPDX-License-Identifier: Apache-2.0
// Shapes as JSON: a list of extents.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "core/tensor/shape.h"

namespace strata {

inline std::vector<int64_t> shape_list(const Shape& shape) { return {shape.begin(), shape.end()}; }
inline Shape shape_of(const nlohmann::json& list) {
  Shape shape;
  for (const nlohmann::json& extent : list) shape.append(extent.get<int64_t>());
  return shape;
}

}  // namespace strata
