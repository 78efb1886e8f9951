// SPDX-License-Identifier: Apache-2.0
// The layout-free digest of a tensor: the sum over its elements of a hash of (index in the whole tensor,
// bits), modulo 2^128. Digests of parts that cover a tensor once add up to the digest of the whole, so any
// two layouts, and a file, prove that they hold the same bits without gathering anything. Not cryptographic:
// it is against accidents.
//
// An element of up to 32 bits with bits b at row-major index i counts mix64(i mod 2^32 + b 2^32, xor s(i div
// 2^32)), with s(0) = 0 and s(n) = mix64(n); one of 64 bits counts as two of 32, low half first, at indices 2
// i and 2 i + 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/tensor/rect.h"

namespace strata {

struct Digest {
  uint64_t low = 0, high = 0;

  Digest& operator+=(const Digest& other) {
    low += other.low;
    high += other.high + (low < other.low ? 1 : 0);
    return *this;
  }
  friend bool operator==(const Digest&, const Digest&) = default;
};

std::string to_string(const Digest& digest);  // 32 hexadecimal digits, high half first
std::optional<Digest> digest_from(std::string_view hex);

// Of the elements of `rect` of a tensor of `shape`, stored contiguously in row-major order at `data` (any
// alignment).
Digest digest_of(const Shape& shape, const Rect& rect, int64_t element_bytes, const std::byte* data);

// Of elements [from, from + count) of that rectangle, stored at `data`: a rectangle can be taken piece by
// piece.
Digest digest_of_part(const Shape& shape, const Rect& rect, int64_t from, int64_t count,
                      int64_t element_bytes, const std::byte* data);

// Of the elements [first, first + count) of a tensor in row-major order.
Digest digest_of_run(int64_t first, int64_t count, int64_t element_bytes, const std::byte* data);

}  // namespace strata
