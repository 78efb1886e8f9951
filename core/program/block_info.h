// SPDX-License-Identifier: Apache-2.0
// What a program knows about a block of the model: which of the values that could exist do exist.
#pragma once

#include <cstdint>

#include "core/program/value.h"

namespace strata {

struct BlockInfo {
  bool has_parameters = true;  // weight exists
  bool trainable = true;       // grad and state exist, and the block is updated; needs has_parameters
  bool packed = true;          // some weights also exist in packed layout; needs has_parameters
  bool saves_input = true;     // forward makes saved_input
  bool saves_weight = true;    // forward makes saved_weight
  bool defers = true;          // backward_input makes deferred
  int16_t tied_to = -1;        // the head only: the block whose weight, packed and grad it also works on
  int16_t twin = -1;           // the block with another copy of a parameter of this one; both name each other
  bool partial = false;        // some gradients are addends of what the tensor axis makes together
  bool here = true;            // this rank holds the block

  // Where the block's shards live. Level 0 is whole; a higher level is cut into more shards, each nested in
  // one of the level below. weight_level <= state_level and grad_level <= state_level.
  uint8_t weight_level = 0;  // of the weights between their uses
  uint8_t grad_level = 0;    // of the sum over micro-batches
  uint8_t state_level = 0;   // of the optimizer state, and of the gradient as the update reads it
  bool replicated = false;   // several ranks hold each shard of the state: gradients are summed over them too

  // The optimizer state that a trained block has.
  bool has_master = true;
  bool has_moments = true;
  // Where they live between their uses; blocks compute on the device with copies that loads make and stores
  // bring home.
  Tier weight_home = Tier::device;
  Tier grad_home = Tier::device;  // of its sums over micro-batches
  Tier master_home = Tier::device;
  Tier moments_home = Tier::device;
  Tier x_home = Tier::device;  // of its input, from forward to what comes back to it
  // Away from the device its input is 8-bit codes with factors: the store to the host makes them, the load
  // from there values again.
  bool x_quantized = false;

  bool holds_weights() const { return here && has_parameters; }
  bool trains() const { return here && trainable; }
  bool keeps_master() const { return trains() && has_master; }
  bool keeps_moments() const { return trains() && has_moments; }
  // Of values that may travel; everything else is at home on the device.
  Tier home(ValueClass cls) const {
    return cls == ValueClass::weight    ? weight_home
           : cls == ValueClass::grad    ? grad_home
           : cls == ValueClass::master  ? master_home
           : cls == ValueClass::moments ? moments_home
           : cls == ValueClass::x       ? x_home
                                        : Tier::device;
  }
  // Whether a value of a level is one that travels between tiers, if its home is not the device.
  bool travels(const Value& value) const {
    if (home(value.cls) == Tier::device) return false;
    if (value.cls == ValueClass::grad) return value.level == grad_level || value.level == state_level;
    return value.level == (value.cls == ValueClass::x        ? 0
                           : value.cls == ValueClass::weight ? weight_level
                                                             : state_level);
  }
  // Whether what lies there are codes that stand for the value.
  bool is_quantized(const Value& value) const {
    return x_quantized && value.cls == ValueClass::x && value.tier != Tier::device;
  }
  // Packed weights last as long as what they are made from.
  bool keeps_packed() const {
    return holds_weights() && packed && weight_level == 0 && weight_home == Tier::device;
  }

  friend bool operator==(const BlockInfo&, const BlockInfo&) = default;
};

}  // namespace strata
