// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/crc32.h"

#include <array>
#include <cstring>

namespace strata {
namespace {

constexpr uint32_t kPolynomial = 0xedb88320;

// tables[0][b]: the remainder of byte b; tables[k][b]: of b followed by k zero bytes. Eight bytes a step.
using Tables = std::array<std::array<uint32_t, 256>, 8>;
constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t value = b;
    for (int i = 0; i < 8; ++i) value = value & 1 ? value >> 1 ^ kPolynomial : value >> 1;
    tables[0][b] = value;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t b = 0; b < 256; ++b)
      tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 0xff];
  return tables;
}
constexpr Tables kTables = make_tables();

// Product modulo the generator; the highest bit is x^0.
constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t m = 1u << 31; m != 0; m >>= 1) {
    if (a & m) product ^= b;
    b = b & 1 ? b >> 1 ^ kPolynomial : b >> 1;
  }
  return product;
}

}  // namespace

uint32_t crc32(std::span<const std::byte> bytes) {
  uint32_t crc = ~0u;
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint32_t low, high;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + 4, 4);
    low ^= crc;
    crc = kTables[7][low & 0xff] ^ kTables[6][low >> 8 & 0xff] ^ kTables[5][low >> 16 & 0xff] ^
          kTables[4][low >> 24] ^ kTables[3][high & 0xff] ^ kTables[2][high >> 8 & 0xff] ^
          kTables[1][high >> 16 & 0xff] ^ kTables[0][high >> 24];
  }
  for (; left > 0; --left, ++at) crc = crc >> 8 ^ kTables[0][(crc ^ static_cast<uint32_t>(*at)) & 0xff];
  return ~crc;
}

uint32_t crc32_combine(uint32_t crc_a, uint32_t crc_b, int64_t b_bytes) {
  uint32_t power = 1u << 31, square = 1u << 23;  // 1, and x^8
  for (auto n = static_cast<uint64_t>(b_bytes); n != 0; n >>= 1) {
    if (n & 1) power = multiply(square, power);
    square = multiply(square, square);
  }
  return multiply(power, crc_a) ^ crc_b;
}

}  // namespace strata
