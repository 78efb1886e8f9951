// SPDX-License-Identifier: Apache-2.0
// What a program knows about a block of the model: which of the values that could exist do exist.
#pragma once

#include <cstdint>

namespace strata {

struct BlockInfo {
  bool has_parameters = true;  // weight exists
  bool trainable = true;       // grad and state exist, and the block is updated; needs has_parameters
  bool packed = true;          // some weights also exist in packed layout; needs has_parameters
  bool saves_input = true;     // forward makes saved_input
  bool saves_weight = true;    // forward makes saved_weight
  bool defers = true;          // backward_input makes deferred
  int16_t tied_to = -1;        // the head only: the block whose weight, packed and grad it also works on

  friend bool operator==(const BlockInfo&, const BlockInfo&) = default;
};

}  // namespace strata
