// SPDX-License-Identifier: Apache-2.0
// Q4_1: half d, half m, 16 bytes. Low halves of the bytes are elements 0 to 15, high halves 16 to 31.
// x = d q + m; the product of 11 and 4 bits is exact in a float, so that only the sum rounds.
#include "checkpoint/adapters/gguf_blocks/block_format.h"

namespace strata {
namespace {

constexpr int64_t kElements = 32, kHalf = 16, kBytes = 2 + 2 + 16;

void decode(const std::byte* from, int64_t blocks, float* to) {
  for (int64_t b = 0; b < blocks; ++b, from += kBytes, to += kElements) {
    const float d = load_half(from), m = load_half(from + 2);
    for (int64_t i = 0; i < kHalf; ++i) {
      const int pair = std::to_integer<int>(from[4 + i]);
      to[i] = d * static_cast<float>(pair & 15) + m;
      to[i + kHalf] = d * static_cast<float>(pair >> 4) + m;
    }
  }
}

}  // namespace

const BlockFormat kBlockQ4_1{"Q4_1", 3, kElements, kBytes, decode};

}  // namespace strata
