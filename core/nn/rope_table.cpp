// SPDX-License-Identifier: Apache-2.0
#include "core/nn/rope_table.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "core/tensor/transfer.h"

namespace strata {
namespace {

double scaled_frequency(const RopeSpec& spec, double frequency) {
  if (!spec.llama3_scaling) return frequency;
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double longest_kept = spec.original_positions / spec.high_freq_factor;
  const double shortest_stretched = spec.original_positions / spec.low_freq_factor;
  if (wavelength < longest_kept) return frequency;
  if (wavelength > shortest_stretched) return frequency / spec.factor;
  const double smooth = (spec.original_positions / wavelength - spec.low_freq_factor) /
                        (spec.high_freq_factor - spec.low_freq_factor);
  return (1 - smooth) * frequency / spec.factor + smooth * frequency;
}

}  // namespace

RopeTable make_rope_table(Stream& stream, Allocator& allocator, const RopeSpec& spec, int64_t positions,
                          int64_t head_dim) {
  const int64_t half = div_exact(head_dim, 2);
  RopeTable table{make_tensor(allocator, DType::f32, {positions, half}, "rope.cos"),
                  make_tensor(allocator, DType::f32, {positions, half}, "rope.sin")};
  if (!table.cos.raw()) return table;  // the meta device has no bytes
  std::vector<float> cos(static_cast<size_t>(positions * half)), sin(cos.size());
  for (int64_t i = 0; i < half; ++i) {
    const double frequency = scaled_frequency(
        spec, std::pow(spec.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
    for (int64_t position = 0; position < positions; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      const auto at = static_cast<size_t>(position * half + i);
      cos[at] = static_cast<float>(std::cos(angle));
      sin[at] = static_cast<float>(std::sin(angle));
    }
  }
  transfer(stream, Tensor::borrow(cos.data(), DType::f32, table.cos.shape()), table.cos);
  transfer(stream, Tensor::borrow(sin.data(), DType::f32, table.sin.shape()), table.sin);
  stream.synchronize();
  return table;
}

}  // namespace strata
