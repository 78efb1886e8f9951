// SPDX-License-Identifier: Apache-2.0
// A cheap handle on a strided block of elements. Copying a Tensor copies the handle; the bytes are shared.
// A default-constructed Tensor is "absent" (an optional operand that is not there).
#pragma once

#include <cstddef>
#include <span>

#include "core/base/check.h"
#include "core/device/buffer.h"
#include "core/tensor/dtype.h"
#include "core/tensor/shape.h"

namespace strata {

class Tensor {
 public:
  Tensor() = default;
  // Row-major view at `byte_offset` of `buffer`, which stays alive as long as the handle.
  Tensor(BufferRef buffer, int64_t byte_offset, DType dtype, Shape shape);
  // Row-major view of host memory that somebody else keeps alive.
  static Tensor borrow(void* data, DType dtype, Shape shape, Device device = {});

  explicit operator bool() const { return present_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int d) const { return shape_[d]; }
  int64_t numel() const { return shape_.numel(); }
  int64_t stride(int d) const { return strides_[d]; }  // in elements
  Device device() const { return device_; }
  bool contiguous() const;
  int64_t bytes() const { return numel() * size_of(dtype_); }

  std::byte* raw() const { return data_; }
  template <typename T>
  T* data() const {
    check(DTypeOf<std::remove_const_t<T>>::value == dtype_,
          "[tensor] asked for elements of type {} of a {} tensor {}",
          name(DTypeOf<std::remove_const_t<T>>::value), name(dtype_), shape_);
    return reinterpret_cast<T*>(data_);
  }
  template <typename T>
  std::span<T> span() const {
    check(contiguous(), "[tensor] span of a strided tensor {}", shape_);
    return {data<T>(), static_cast<size_t>(numel())};
  }

  Tensor t() const;                                           // the transpose of a matrix
  Tensor view(Shape shape) const;                             // same elements, contiguous only
  Tensor slice(int dim, int64_t begin, int64_t count) const;  // a range of one dim

 private:
  std::byte* data_ = nullptr;
  BufferRef keep_;
  DType dtype_ = DType::f32;
  Shape shape_;
  Shape strides_;
  Device device_;
  bool present_ = false;
};

// A tensor of its own, zeroed. For tests, tools and set-up; a training step takes its memory from the plan.
Tensor make_tensor(Allocator& allocator, DType dtype, Shape shape, std::string label);

}  // namespace strata
