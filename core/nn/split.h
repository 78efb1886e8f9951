// SPDX-License-Identifier: Apache-2.0
// Which part of every layer a model holds when several ranks share its layers (tensor parallelism). Blocks
// compute their widths from it when they are made and are single-device code from then on.
#pragma once

#include <cstdint>

#include "core/base/check.h"
#include "core/tensor/placement.h"

namespace strata {

struct Split {
  int parts = 1;
  int part = 0;
  // The rows between layers are cut as well (sequence parallelism): a parameter that every part holds whole
  // then sees only some of the tokens on each.
  bool sequence = false;
  // Embedding and head each hold a tied table, because they lie on different ranks or their gradients are
  // summed apart; the step adds the gradients of the two and updates both alike.
  bool twin_table = false;

  // This part's share of `whole` heads, features or rows, which must divide.
  int64_t share(int64_t whole) const { return div_exact(whole, parts); }

  // Placements over the parts.
  AxisPlacement sharded(int8_t dim) const {
    return parts == 1 ? AxisPlacement{} : AxisPlacement{AxisPlacement::Kind::shard, dim};
  }
  AxisPlacement partial() const {
    return {parts == 1 ? AxisPlacement::Kind::replicate : AxisPlacement::Kind::partial};
  }
  // Of the gradient of a parameter held whole whose layer works on the rows between layers.
  AxisPlacement per_row() const { return sequence ? partial() : AxisPlacement{}; }

  friend bool operator==(const Split&, const Split&) = default;
};

}  // namespace strata
