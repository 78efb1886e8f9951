// SPDX-License-Identifier: Apache-2.0
// Numbers in blocks, as GGUF stores them: a row is a whole number of blocks, each with its own scale.
// Layouts and formulas: ggml, ggml-common.h (block_q8_0, ...) and ggml-quants.c
// (dequantize_row_*).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace strata {

struct BlockFormat {
  std::string_view name;  // "Q8_0"
  uint32_t ggml_type;     // the number in the file
  int64_t elements;       // of a block
  int64_t bytes;
  // `blocks` whole blocks at `from`, any alignment, as floats.
  void (*decode)(const std::byte* from, int64_t blocks, float* to);
  // The nearest in blocks, as llama.cpp rounds. False when a scale is beyond a half: what was written is then
  // of no use. Null: decoding only.
  bool (*encode)(const float* from, int64_t blocks, std::byte* to) = nullptr;
};

extern const BlockFormat kBlockQ8_0;  // 32 of 8 bits: x = d q
extern const BlockFormat kBlockQ4_0;  // 32 of 4 bits: x = d (q - 8)
extern const BlockFormat kBlockQ4_1;  // 32 of 4 bits: x = d q + m

std::span<const BlockFormat* const> block_formats();

// The IEEE half at `from`, exactly. By hand: not every compiler has the type on every x86-64.
inline float load_half(const std::byte* from) {
  uint16_t half = 0;
  std::memcpy(&half, from, sizeof half);
  const uint32_t sign = uint32_t{half} >> 15 << 31, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 0) {  // zero and subnormals: units of 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

// To nearest, ties to even; beyond the largest half: infinity. `x` is not negative and no NaN.
inline uint16_t half_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (bits >= 0x477FF000u) return 0x7C00u;  // 65520 and above
  if (bits < 0x38800000u)                   // below 2^-14: one unit in the last place of 0.5 is the least subnormal
    return static_cast<uint16_t>(std::bit_cast<uint32_t>(x + 0.5F) - 0x3F000000u);
  return static_cast<uint16_t>((bits + 0xFFFu + (bits >> 13 & 1u) - 0x38000000u) >> 13);
}

}  // namespace strata
