// SPDX-License-Identifier: Apache-2.0
// Q8_0: half d, int8 q[32]. x[i] = d q[i].
#include "checkpoint/adapters/gguf_blocks/block_format.h"

namespace strata {
namespace {

constexpr int64_t kElements = 32, kBytes = 2 + 32;

void decode(const std::byte* from, int64_t blocks, float* to) {
  for (int64_t b = 0; b < blocks; ++b, from += kBytes, to += kElements) {
    const float d = load_half(from);
    for (int64_t i = 0; i < kElements; ++i)
      to[i] = d * static_cast<float>(static_cast<int8_t>(std::to_integer<uint8_t>(from[2 + i])));
  }
}

}  // namespace

const BlockFormat kBlockQ8_0{"Q8_0", 8, kElements, kBytes, decode};

}  // namespace strata
