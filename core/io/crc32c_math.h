// SPDX-License-Identifier: Apache-2.0
// Polynomials over GF(2) modulo the Castagnoli polynomial P, for combining CRCs. Reflected: bit 31 - i of a
// word is the coefficient of x^i. Internal to core/io.
#pragma once

#include <array>
#include <cstdint>

namespace strata::crc {

inline constexpr uint32_t kPolynomial = 0x82F63B78;  // P without x^32, reflected
inline constexpr uint32_t kOne = 0x80000000;         // 1

// a * x mod P.
constexpr uint32_t times_x(uint32_t a) { return (a >> 1) ^ ((a & 1) ? kPolynomial : 0); }

// a * b mod P.
constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = kOne; bit != 0; bit >>= 1, b = times_x(b))
    if (a & bit) product ^= b;
  return product;
}

// x^(2^k) mod P for k = 0 ... 63.
inline constexpr std::array<uint32_t, 64> kSquares = [] {
  std::array<uint32_t, 64> squares{};
  squares[0] = times_x(kOne);
  for (size_t k = 1; k < squares.size(); ++k) squares[k] = multiply(squares[k - 1], squares[k - 1]);
  return squares;
}();

// x^exponent mod P.
constexpr uint32_t power_of_x(uint64_t exponent) {
  uint32_t power = kOne;
  for (size_t k = 0; exponent != 0; ++k, exponent >>= 1)
    if (exponent & 1) power = multiply(power, kSquares[k]);
  return power;
}

}  // namespace strata::crc
