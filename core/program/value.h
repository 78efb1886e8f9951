// SPDX-License-Identifier: Apache-2.0
// The named quantities a step reads and makes. A Value is a name, not bytes: link() gives every creation of a
// name its own buffer.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace strata {

enum class ValueClass : uint8_t {
  x,             // input of a block; block 0 has none, it reads the token batch, which is outside the program
  dx,            // gradient of x; dx of block b + 1 is the gradient of block b's output
  saved_input,   // kept by forward for backward_input
  saved_weight,  // kept by forward for backward_weight
  deferred,      // made by backward_input for backward_weight
  weight,        // parameters as the model computes with them
  packed,        // the weights again, in the layout a matrix product likes
  grad,          // gradients of a block's parameters, summed over micro-batches
  master,        // optimizer state that holds the parameters more exactly than weight does
  moments,       // optimizer state besides
  scalars,       // loss and norm accumulators, clip coefficient, step number; block -1
  map,           // of Tier::nvme: which versions of its values a restart finds; block -1
};
inline constexpr int kNumValueClasses = 12;

// Where bytes live. Addresses exist on device and host; nvme has offsets in a file.
enum class Tier : uint8_t { device, host, nvme };
inline constexpr int kNumTiers = 3;

struct Value {
  ValueClass cls = ValueClass::x;
  int16_t block = -1;
  // -1: the same for all micro-batches. Of a gradient: which sum. The step's is -1; in ordered mode a sum
  // over a subtree of micro-batches that does not begin with the first one has the number of its first.
  int16_t micro_batch = -1;
  Tier tier = Tier::device;
  uint8_t level = 0;  // level of the partition a shard belongs to; 0 is whole, what blocks compute with

  friend bool operator==(const Value&, const Value&) = default;
};

// Whether a class of values outlives the step, and so is there before a move brings a newer copy of it.
bool persistent(ValueClass cls);

// Whether a class has one value per micro-batch (x, dx, saved_input, saved_weight, deferred).
bool per_micro_batch(ValueClass cls);

// Every field in one integer: equal keys, equal values.
constexpr uint64_t key(const Value& v) {
  return uint64_t{static_cast<uint8_t>(v.cls)} << 48 | uint64_t{static_cast<uint8_t>(v.tier)} << 40 |
         uint64_t{v.level} << 32 | uint64_t{static_cast<uint16_t>(v.block)} << 16 |
         static_cast<uint16_t>(v.micro_batch);
}

std::string_view name(ValueClass cls);
std::string_view name(Tier tier);
std::string to_string(const Value& value);  // "saved_input 3 mb=1", "weight 3 tier=host level=1", "scalars"

}  // namespace strata

// As to_string, but only when a message is really made.
template <>
struct fmt::formatter<strata::Value> : fmt::formatter<std::string> {
  template <typename Context>
  auto format(const strata::Value& value, Context& context) const {
    return fmt::formatter<std::string>::format(strata::to_string(value), context);
  }
};
