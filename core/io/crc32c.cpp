// SPDX-License-Identifier: Apache-2.0
#include "core/io/crc32c.h"

#include <array>
#include <cstring>

#include "core/base/isa.h"
#include "core/io/crc32c_math.h"

namespace strata {
namespace {

// kTables[k][v]: the CRC register after byte v and k zero bytes (slicing by 8: Kounavis and Berry, 2005).
constexpr auto kTables = [] {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t v = 0; v < 256; ++v) {
    uint32_t crc = v;
    for (int bit = 0; bit < 8; ++bit) crc = crc::times_x(crc);
    tables[0][v] = crc;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t v = 0; v < 256; ++v)
      tables[k][v] = tables[0][tables[k - 1][v] & 255] ^ (tables[k - 1][v] >> 8);
  return tables;
}();

}  // namespace

uint32_t crc32c_extend_portable(uint32_t crc, std::span<const std::byte> bytes) {
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  crc = ~crc;
  for (; left >= 8; at += 8, left -= 8) {
    std::array<uint8_t, 8> b;
    std::memcpy(b.data(), at, 8);
    crc = kTables[7][b[0] ^ (crc & 255)] ^ kTables[6][b[1] ^ (crc >> 8 & 255)] ^
          kTables[5][b[2] ^ (crc >> 16 & 255)] ^ kTables[4][b[3] ^ (crc >> 24)] ^ kTables[3][b[4]] ^
          kTables[2][b[5]] ^ kTables[1][b[6]] ^ kTables[0][b[7]];
  }
  for (; left > 0; ++at, --left) crc = kTables[0][(crc ^ static_cast<uint32_t>(*at)) & 255] ^ (crc >> 8);
  return ~crc;
}

uint32_t crc32c_extend(uint32_t crc, std::span<const std::byte> b) {
  static const bool has_instruction = active_isa() >= Isa::avx2;
  return has_instruction ? crc32c_extend_sse42(crc, b) : crc32c_extend_portable(crc, b);
}

uint32_t crc32c(std::span<const std::byte> bytes) { return crc32c_extend(0, bytes); }

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, int64_t b_bytes) {
  return crc::multiply(crc_a, crc::power_of_x(8 * static_cast<uint64_t>(b_bytes))) ^ crc_b;
}

}  // namespace strata
