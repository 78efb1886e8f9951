// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/summary.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/hash.h"
#include "core/format/fp8.h"
#include "core/tensor/bf16.h"

namespace strata {

void Summary::add(uint64_t index, uint64_t bits_of_value, double value) {
  const uint64_t key = mix64(index);
  ++count;
  where += key;
  bits += hash_combine(key, bits_of_value);
  if (!std::isfinite(value)) {
    ++non_finite;
    return;
  }
  squares += value * value;
  min = std::min(min, value);
  max = std::max(max, value);
  for (int k = 0; k < kSketches; ++k)
    sketch[static_cast<size_t>(k)] +=
        std::bit_cast<double>(std::bit_cast<uint64_t>(value) ^ (key >> k & 1) << 63);
}

void Summary::add(const Summary& other) {
  count += other.count;
  non_finite += other.non_finite;
  where += other.where;
  bits += other.bits;
  squares += other.squares;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  for (size_t k = 0; k < kSketches; ++k) sketch[k] += other.sketch[k];
}

double Summary::norm() const { return std::sqrt(squares); }

double distance(const Summary& a, const Summary& b) {
  if (a.same_bits(b)) return 0;
  if (a.where != b.where || a.non_finite != b.non_finite) return std::numeric_limits<double>::infinity();
  double sum = 0;
  for (size_t k = 0; k < Summary::kSketches; ++k)
    sum += (a.sketch[k] - b.sketch[k]) * (a.sketch[k] - b.sketch[k]);
  return std::sqrt(sum / Summary::kSketches);
}

uint64_t element_bits(const Tensor& tensor, int64_t at) {
  switch (size_of(tensor.dtype())) {
    case 1:
      return std::to_integer<uint64_t>(tensor.raw()[at]);
    case 2:
      return reinterpret_cast<const uint16_t*>(tensor.raw())[at];
    case 4:
      return reinterpret_cast<const uint32_t*>(tensor.raw())[at];
    default:
      return reinterpret_cast<const uint64_t*>(tensor.raw())[at];
  }
}

double element_value(const Tensor& tensor, int64_t at) {
  switch (tensor.dtype()) {
    case DType::f32:
      return tensor.data<const float>()[at];
    case DType::f64:
      return tensor.data<const double>()[at];
    case DType::bf16:
      return to_float(tensor.data<const bf16>()[at]);
    case DType::i16:
      return tensor.data<const int16_t>()[at];
    case DType::i32:
      return tensor.data<const int32_t>()[at];
    case DType::i64:
      return static_cast<double>(tensor.data<const int64_t>()[at]);
    case DType::u8:
      return tensor.data<const uint8_t>()[at];
    case DType::f8e4m3:
      return E4m3::decode(reinterpret_cast<const uint8_t*>(tensor.raw())[at]);
    case DType::f8e5m2:
      return E5m2::decode(reinterpret_cast<const uint8_t*>(tensor.raw())[at]);
  }
  return 0;
}

}  // namespace strata
