// SPDX-License-Identifier: Apache-2.0
// The inner loop of the digest, compiled once per instruction set: hashes of consecutive 32-bit (or shorter)
// words, added up in two halves so that no carry is lost. Rules for such files:
// core/ops/cpu/kernels/isa_namespace.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace strata {

// Sums over hashes: value = low + high 2^32. Good for 2^32 hashes.
struct HashSums {
  uint64_t low = 0, high = 0;
};

// Of `count` <= 2^31 words of `word_bytes` (1, 2 or 4) at `data`; the first has index `index` mod 2^32, no
// index passes 2^32, and `salt` is s(index div 2^32).
using HashWords = HashSums (*)(const std::byte* data, int64_t count, int word_bytes, uint32_t index,
                               uint64_t salt);

namespace portable {
HashSums hash_words(const std::byte*, int64_t, int, uint32_t, uint64_t);
}
namespace avx2 {
HashSums hash_words(const std::byte*, int64_t, int, uint32_t, uint64_t);
}
namespace avx512 {
HashSums hash_words(const std::byte*, int64_t, int, uint32_t, uint64_t);
}

}  // namespace strata
