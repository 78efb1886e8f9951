// SPDX-License-Identifier: Apache-2.0
// Compiled with STRATA_ISA_NAMESPACE = portable, avx2 and avx512 (CMakeLists.txt). The compiler makes the
// vectors: all lanes do the same integer work.
#include "checkpoint/digest_kernel.h"

#include <cstring>

namespace strata::STRATA_ISA_NAMESPACE {
namespace {

// mix64 of core/base/hash.h, here so that no weak copy for one instruction set can be linked elsewhere.
[[gnu::always_inline]] inline uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

template <typename Word>
[[gnu::always_inline]] inline HashSums sum(const std::byte* data, int64_t count, uint32_t index,
                                           uint64_t salt) {
  HashSums sums;
  for (int64_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, data + i * static_cast<int64_t>(sizeof word), sizeof word);
    const uint64_t key =
        (static_cast<uint64_t>(word) << 32 | static_cast<uint32_t>(index + static_cast<uint32_t>(i))) ^ salt;
    const uint64_t hash = mix(key);
    sums.low += hash & 0xFFFFFFFFu;
    sums.high += hash >> 32;
  }
  return sums;
}

}  // namespace

HashSums hash_words(const std::byte* data, int64_t count, int word_bytes, uint32_t index, uint64_t salt) {
  if (word_bytes == 1) return sum<uint8_t>(data, count, index, salt);
  if (word_bytes == 2) return sum<uint16_t>(data, count, index, salt);
  return sum<uint32_t>(data, count, index, salt);
}

}  // namespace strata::STRATA_ISA_NAMESPACE
