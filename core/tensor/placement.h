// SPDX-License-Identifier: Apache-2.0
// How one tensor lies on the ranks of a mesh: for every mesh axis it is replicated, sharded along a dim, or
// partial (every rank holds an addend of the true value).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor/rect.h"

namespace strata {

struct AxisPlacement {
  enum class Kind : uint8_t { replicate, shard, partial };
  Kind kind = Kind::replicate;
  int8_t dim = 0;  // of a shard

  friend bool operator==(const AxisPlacement&, const AxisPlacement&) = default;
};

// One entry per mesh axis, outermost axis first. Sharding the same dim over two axes nests: the outer axis
// cuts first. Empty: one rank.
struct Placement {
  std::vector<AxisPlacement> axes;

  friend bool operator==(const Placement&, const Placement&) = default;
};

// The rectangle of a tensor of `shape` held at `coordinate` of a mesh of `sizes` (both one entry per axis).
// Throws ContractError when a sharded dim does not divide.
Rect local_rect(const Shape& shape, const Placement& placement, const std::vector<int64_t>& sizes,
                const std::vector<int64_t>& coordinate);

std::string to_string(const Placement& placement);  // "shard(0) replicate partial"

}  // namespace strata
