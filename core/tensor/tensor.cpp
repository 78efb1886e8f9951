// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/tensor.h"

#include <algorithm>

namespace strata {

std::string_view name(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::i16:
      return "i16";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
    case DType::f8e4m3:
      return "f8e4m3";
    case DType::f8e5m2:
      return "f8e5m2";
    case DType::f64:
      return "f64";
  }
  return "?";
}

Shape::Shape(std::initializer_list<int64_t> dims) {
  check(dims.size() <= kMaxRank, "[shape] rank {} is above the limit of {}", dims.size(), kMaxRank);
  std::copy(dims.begin(), dims.end(), dims_.begin());
  rank_ = static_cast<int>(dims.size());
}

void Shape::append(int64_t extent) {
  check(rank_ < kMaxRank, "[shape] rank {} is the limit", kMaxRank);
  dims_[rank_++] = extent;
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (const int64_t extent : *this) n *= extent;
  return n;
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

static Shape row_major(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    strides.set(d, step);
    step *= shape[d];
  }
  return strides;
}

Tensor::Tensor(BufferRef buffer, int64_t byte_offset, DType dtype, Shape shape) {
  check(byte_offset >= 0 && byte_offset + shape.numel() * size_of(dtype) <= buffer->bytes(),
        "[tensor] {} {} at byte {} does not fit in '{}' of {} bytes", name(dtype), shape, byte_offset,
        buffer->label(), buffer->bytes());
  data_ = buffer->data() ? buffer->data() + byte_offset : nullptr;
  device_ = buffer->device();
  keep_ = std::move(buffer);
  dtype_ = dtype;
  shape_ = shape;
  strides_ = row_major(shape);
  present_ = true;
}

Tensor Tensor::borrow(void* data, DType dtype, Shape shape, Device device) {
  Tensor tensor;
  tensor.data_ = static_cast<std::byte*>(data);
  tensor.dtype_ = dtype;
  tensor.shape_ = shape;
  tensor.strides_ = row_major(shape);
  tensor.device_ = device;
  tensor.present_ = true;
  return tensor;
}

bool Tensor::contiguous() const {
  int64_t step = 1;
  for (int d = rank() - 1; d >= 0; --d) {
    if (shape_[d] != 1 && strides_[d] != step) return false;
    step *= shape_[d];
  }
  return true;
}

Tensor Tensor::t() const {
  check(rank() == 2, "[tensor] transpose of rank {} tensor {}", rank(), shape_);
  Tensor result = *this;
  result.shape_ = {shape_[1], shape_[0]};
  result.strides_ = {strides_[1], strides_[0]};
  return result;
}

Tensor Tensor::view(Shape shape) const {
  check(contiguous() && shape.numel() == numel(), "[tensor] cannot view {} ({}) as {}", shape_,
        contiguous() ? "contiguous" : "strided", shape);
  Tensor result = *this;
  result.shape_ = shape;
  result.strides_ = row_major(shape);
  return result;
}

Tensor Tensor::slice(int dim, int64_t begin, int64_t count) const {
  check(dim >= 0 && dim < rank() && begin >= 0 && count >= 0 && begin + count <= shape_[dim],
        "[tensor] slice [{}, {}) of dim {} of {}", begin, begin + count, dim, shape_);
  Tensor result = *this;
  if (data_) result.data_ = data_ + begin * strides_[dim] * size_of(dtype_);
  result.shape_.set(dim, count);
  return result;
}

Tensor make_tensor(Allocator& allocator, DType dtype, Shape shape, std::string label) {
  return Tensor(allocator.allocate(shape.numel() * size_of(dtype), std::move(label)), 0, dtype, shape);
}

}  // namespace strata
