// SPDX-License-Identifier: Apache-2.0
// The bytes of one planned value (an activation, what a block saves, ...), handed out as tensors in order. A
// block takes the same tensors in the same order whenever it is given the same value, so what forward wrote
// is found again by backward without any book-keeping: the layout is the code that takes it.
#pragma once

#include "core/base/check.h"
#include "core/device/scratch.h"
#include "core/tensor/tensor.h"

namespace strata {

class Region {
 public:
  Region() = default;  // nothing may be taken

  // `bytes` at `base`, which must live as long as the tensors taken.
  Region(std::byte* base, int64_t bytes, Device device) : base_(base), limit_(bytes), device_(device) {}

  // No memory, no bound: only counts (the meta device).
  static Region counting() { return Region(nullptr, INT64_MAX / 2, {DeviceKind::meta, 0}); }

  // Working memory instead of a value that is kept: for a forward whose saved tensors nobody will read.
  static Region temporary(Scratch& scratch, Device device) {
    Region region(nullptr, INT64_MAX / 2, device);
    region.scratch_ = &scratch;
    return region;
  }

  Tensor take(DType dtype, Shape shape) {
    const int64_t begin = used_;
    const int64_t bytes = shape.numel() * size_of(dtype);
    used_ += round_up(bytes, kTensorAlignment);
    check(used_ <= limit_, "[region] {} {} ends at byte {}, the plan gives {}", name(dtype), shape, used_,
          limit_);
    std::byte* data = scratch_ ? scratch_->take(bytes) : base_ ? base_ + begin : nullptr;
    return Tensor::borrow(data, dtype, shape, device_);
  }

  int64_t used() const { return used_; }

 private:
  std::byte* base_ = nullptr;
  int64_t limit_ = 0;
  int64_t used_ = 0;
  Device device_;
  Scratch* scratch_ = nullptr;
};

}  // namespace strata
