// SPDX-License-Identifier: Apache-2.0
// Q4_1: half d, half m, 16 bytes. Low halves of the bytes are elements 0 to 15, high halves 16 to 31.
// x = d q + m; the product of 11 and 4 bits is exact in a float, so that only the sum rounds.
#include "checkpoint/adapters/gguf_blocks/block_format.h"

namespace strata {
namespace {

constexpr int64_t kQ4_1Elements = 32, kQ4_1Half = 16, kQ4_1Bytes = 2 + 2 + 16;

void decode_q4_1(const std::byte* from, int64_t blocks, float* to) {
  for (int64_t b = 0; b < blocks; ++b, from += kQ4_1Bytes, to += kQ4_1Elements) {
    const float d = load_half(from), m = load_half(from + 2);
    for (int64_t i = 0; i < kQ4_1Half; ++i) {
      const int pair = std::to_integer<int>(from[4 + i]);
      to[i] = d * static_cast<float>(pair & 15) + m;
      to[i + kQ4_1Half] = d * static_cast<float>(pair >> 4) + m;
    }
  }
}

}  // namespace

const BlockFormat kBlockQ4_1{"Q4_1", 3, kQ4_1Elements, kQ4_1Bytes, decode_q4_1};

}  // namespace strata
