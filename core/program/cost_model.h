// SPDX-License-Identifier: Apache-2.0
// What link() and the simulator ask about a model and a machine: sizes and times.
#pragma once

#include <cstdint>

#include "core/device/buffer.h"
#include "core/program/action.h"
#include "core/program/value.h"

namespace strata {

class CostModel {
 public:
  virtual ~CostModel() = default;
  virtual int64_t bytes(const Value& value) const = 0;
  // What addresses of a value are multiples of, at least kTensorAlignment.
  virtual int64_t alignment(const Value&) const { return kTensorAlignment; }
  // Most working memory the action needs at once, beside its values.
  virtual int64_t scratch_bytes(const Action& action) const = 0;
  virtual double seconds(const Action& action) const = 0;
};

}  // namespace strata
