// SPDX-License-Identifier: Apache-2.0
// Q8_0: half d, int8 q[32]. x[i] = d q[i]. Encoding (quantize_row_q8_0_ref): d = max |x| / 127 in f32,
// q = round(x / d) with halves away from zero, and d is then rounded to a half. What was decoded encodes to
// the same numbers again.
#include <algorithm>
#include <cmath>

#include "checkpoint/adapters/gguf_blocks/block_format.h"

namespace strata {
namespace {

constexpr int64_t kQ8_0Elements = 32, kQ8_0Bytes = 2 + 32;

void decode_q8_0(const std::byte* from, int64_t blocks, float* to) {
  for (int64_t b = 0; b < blocks; ++b, from += kQ8_0Bytes, to += kQ8_0Elements) {
    const float d = load_half(from);
    for (int64_t i = 0; i < kQ8_0Elements; ++i)
      to[i] = d * static_cast<float>(static_cast<int8_t>(std::to_integer<uint8_t>(from[2 + i])));
  }
}

bool encode_q8_0(const float* from, int64_t blocks, std::byte* to) {
  for (int64_t b = 0; b < blocks; ++b, from += kQ8_0Elements, to += kQ8_0Bytes) {
    float most = 0;
    for (int64_t i = 0; i < kQ8_0Elements; ++i) most = std::max(most, std::abs(from[i]));
    const float d = most / 127.0F, inverse = d != 0 ? 1.0F / d : 0.0F;
    const uint16_t half = half_bits(d);
    if (half >= 0x7C00u) return false;
    std::memcpy(to, &half, sizeof half);
    for (int64_t i = 0; i < kQ8_0Elements; ++i)
      to[2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::round(from[i] * inverse)));
  }
  return true;
}

}  // namespace

const BlockFormat kBlockQ8_0{"Q8_0", 8, kQ8_0Elements, kQ8_0Bytes, decode_q8_0, encode_q8_0};

}  // namespace strata
