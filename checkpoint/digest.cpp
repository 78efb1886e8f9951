// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/digest.h"

#include <algorithm>

#include "checkpoint/digest_kernel.h"
#include "checkpoint/hex.h"
#include "checkpoint/runs.h"
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/isa.h"

namespace strata {
namespace {

HashWords kernel() {
  static const HashWords chosen = active_isa() >= Isa::avx512 ? avx512::hash_words
                                  : active_isa() >= Isa::avx2 ? avx2::hash_words
                                                              : portable::hash_words;
  return chosen;
}

}  // namespace

Digest digest_of_run(int64_t first, int64_t count, int64_t element_bytes, const std::byte* data) {
  check(element_bytes == 1 || element_bytes == 2 || element_bytes == 4 || element_bytes == 8,
        "[digest] elements of {} bytes", element_bytes);
  const int word_bytes = element_bytes == 8 ? 4 : static_cast<int>(element_bytes);
  const int64_t words_each = element_bytes == 8 ? 2 : 1;
  auto index = static_cast<uint64_t>(first * words_each);
  Digest digest;
  for (int64_t left = count * words_each; left > 0;) {
    const auto low_index = static_cast<uint32_t>(index);
    const int64_t until_carry = (int64_t{1} << 32) - low_index;
    const int64_t now = std::min({left, until_carry, int64_t{1} << 31});
    const uint64_t high_index = index >> 32;
    const HashSums sums = kernel()(data, now, word_bytes, low_index, high_index ? mix64(high_index) : 0);
    digest += {sums.low, 0};
    digest += {sums.high << 32, sums.high >> 32};
    data += now * word_bytes;
    index += static_cast<uint64_t>(now);
    left -= now;
  }
  return digest;
}

Digest digest_of_part(const Shape& shape, const Rect& rect, int64_t from, int64_t count,
                      int64_t element_bytes, const std::byte* data) {
  Digest digest;
  each_run(shape, rect, from, from + count, [&](int64_t first, int64_t run, int64_t at) {
    digest += digest_of_run(first, run, element_bytes, data + (at - from) * element_bytes);
  });
  return digest;
}

Digest digest_of(const Shape& shape, const Rect& rect, int64_t element_bytes, const std::byte* data) {
  return digest_of_part(shape, rect, 0, rect.numel(), element_bytes, data);
}

std::string to_string(const Digest& digest) { return hex64(digest.high) + hex64(digest.low); }

std::optional<Digest> digest_from(std::string_view hex) {
  if (hex.size() != 32) return std::nullopt;
  const auto high = hex_value(hex.substr(0, 16)), low = hex_value(hex.substr(16));
  if (!high || !low) return std::nullopt;
  return Digest{.low = *low, .high = *high};
}

}  // namespace strata
