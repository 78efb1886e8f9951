// SPDX-License-Identifier: Apache-2.0
// Formats of weights in blocks of 64 elements with a factor of their own: a table of them, encoding and
// decoding on the host. One file a format says how a block lies (nf4.h, int8_blocks.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"

namespace strata {

enum class WeightFormat : uint8_t { none, int8, nf4 };  // none: plain elements

inline constexpr int64_t kBlockElements = 64;

std::string_view name(WeightFormat format);
int64_t block_bytes(WeightFormat format);  // of one block
// `elements` is a multiple of kBlockElements.
inline int64_t encoded_bytes(WeightFormat format, int64_t elements) {
  return div_exact(elements, kBlockElements) * block_bytes(format);
}

// Both of `elements` elements that begin with a block. Encoding throws Error(numeric) for a value that is not
// finite.
void encode_blocks(WeightFormat format, const float* values, int64_t elements, std::byte* blocks);
void decode_blocks(WeightFormat format, const std::byte* blocks, int64_t elements, float* values);

}  // namespace strata
