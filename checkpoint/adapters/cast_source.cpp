// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/cast_source.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "checkpoint/adapters/strided_copy.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/page_memory.h"
#include "core/tensor/bf16.h"

namespace strata {
namespace {

constexpr int64_t kCastAtOnce = int64_t{1} << 20;  // converted at a time

bool is_float(ElementType type) {
  return type == ElementType::f64 || type == ElementType::f32 || type == ElementType::f16 ||
         type == ElementType::bf16;
}

template <typename T>
T load(const std::byte* data, int64_t i) {
  T value;
  std::memcpy(&value, data + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
template <typename T>
void store(std::byte* data, int64_t i, T value) {
  std::memcpy(data + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

double value_of(ElementType type, const std::byte* data, int64_t i) {
  switch (type) {
    case ElementType::f64:
      return load<double>(data, i);
    case ElementType::f32:
      return load<float>(data, i);
    case ElementType::bf16:
      return to_float(load<bf16>(data, i));
    default:
      return static_cast<double>(load<_Float16>(data, i));
  }
}

// Directly from double where that rounds once; bf16 by way of a float whose last bit is sticky, so that no
// tie is made by the first rounding (round to odd: Boldo and Melquiond 2005).
float to_odd(double value) {
  const auto nearest = static_cast<float>(value);
  if (std::isnan(value) || static_cast<double>(nearest) == value || std::isinf(nearest)) return nearest;
  const float toward_zero =
      std::abs(static_cast<double>(nearest)) > std::abs(value) ? std::nextafter(nearest, 0.0f) : nearest;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(toward_zero) | 1u);
}

}  // namespace

bool put_element(ElementType type, std::byte* data, int64_t i, double value) {
  if (type == ElementType::f32) {
    const auto rounded = static_cast<float>(value);
    store(data, i, rounded);
    return std::isfinite(rounded) || !std::isfinite(value);
  }
  if (type == ElementType::bf16) {
    const bf16 rounded = to_bf16(to_odd(value));
    store(data, i, rounded);
    return std::isfinite(to_float(rounded)) || !std::isfinite(value);
  }
  const auto rounded = static_cast<_Float16>(value);
  store(data, i, rounded);
  return std::isfinite(static_cast<float>(rounded)) || !std::isfinite(value);
}

CastSource::CastSource(const TensorSource& source, ElementType type)
    : DerivedSource(source), tensors_(source.tensors().begin(), source.tensors().end()) {
  check(type == ElementType::f32 || type == ElementType::bf16 || type == ElementType::f16, "[cast] to {}",
        name(type));
  for (TensorSpec& tensor : tensors_)
    if (is_float(tensor.type)) tensor.type = type;
}

CastSource::CastSource(const TensorSource& source, std::span<const ElementType> types)
    : DerivedSource(source), tensors_(source.tensors().begin(), source.tensors().end()) {
  for (size_t t = 0; t < tensors_.size(); ++t) {
    check(types[t] == tensors_[t].type || (is_float(types[t]) && is_float(tensors_[t].type)),
          "[cast] {} to {}", to_string(tensors_[t]), name(types[t]));
    tensors_[t].type = types[t];
  }
}

std::optional<Digest> CastSource::stored_digest(size_t tensor) const {
  if (tensors_.at(tensor).type != source_.tensors()[tensor].type) return std::nullopt;
  return source_.stored_digest(tensor);
}

void CastSource::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  const TensorSpec &old = source_.tensors()[tensor], &now = tensors_.at(tensor);
  if (old.type == now.type) return source_.read(tensor, rect, into);
  const int64_t old_size = size_of(old.type), size = size_of(now.type);
  for_parts(rect, into, kCastAtOnce, [&](const Rect& part, const StridedTarget& target) {
    const int64_t count = part.numel();
    const PageMemory from = page_memory(count * old_size), to = page_memory(count * size);
    source_.read(tensor, part, row_major(from.get(), part.extent, old_size));
    for (int64_t i = 0; i < count; ++i) {
      const double value = value_of(old.type, from.get(), i);
      if (!put_element(now.type, to.get(), i, value))
        throw Error(Fault::numeric, {.what = fmt::format("a number of tensor '{}' is too large for {}",
                                                         now.name, name(now.type)),
                                     .where = source_.path(),
                                     .found = fmt::format("{}", value),
                                     .fix = "convert to f32 or bf16"});
    }
    copy_strided(part.extent, {to.get(), row_major(nullptr, part.extent, size).strides}, target, size);
  });
}

}  // namespace strata
