// SPDX-License-Identifier: Apache-2.0
// Q4_0: half d, 16 bytes. Low halves of the bytes are elements 0 to 15, high halves 16 to 31. x = d (q - 8).
#include "checkpoint/adapters/gguf_blocks/block_format.h"

namespace strata {
namespace {

constexpr int64_t kQ4_0Elements = 32, kQ4_0Half = 16, kQ4_0Bytes = 2 + 16;

void decode_q4_0(const std::byte* from, int64_t blocks, float* to) {
  for (int64_t b = 0; b < blocks; ++b, from += kQ4_0Bytes, to += kQ4_0Elements) {
    const float d = load_half(from);
    for (int64_t i = 0; i < kQ4_0Half; ++i) {
      const int pair = std::to_integer<int>(from[2 + i]);
      to[i] = d * static_cast<float>((pair & 15) - 8);
      to[i + kQ4_0Half] = d * static_cast<float>((pair >> 4) - 8);
    }
  }
}

}  // namespace

const BlockFormat kBlockQ4_0{"Q4_0", 2, kQ4_0Elements, kQ4_0Bytes, decode_q4_0};

}  // namespace strata
