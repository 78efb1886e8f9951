// SPDX-License-Identifier: Apache-2.0
// CRC-32C against published vectors and a bit-by-bit division written here.
#include "core/io/crc32c.h"

#include <cstring>
#include <string_view>

#include "core/io/crc32c_math.h"
#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using Extend = uint32_t (*)(uint32_t, std::span<const std::byte>);
constexpr std::pair<const char*, Extend> kWays[] = {
    {"chosen", crc32c_extend}, {"portable", crc32c_extend_portable}, {"sse42", crc32c_extend_sse42}};

// The definition: long division of the message, not reflected, first byte's lowest bit first.
uint32_t by_definition(std::span<const std::byte> bytes) {
  uint32_t rest = 0xFFFFFFFF;
  for (const std::byte byte : bytes)
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t in = static_cast<uint32_t>(byte) >> bit & 1;
      const uint32_t out = rest >> 31;
      rest = (rest << 1) ^ ((in ^ out) ? 0x1EDC6F41u : 0u);
    }
  uint32_t reflected = 0;
  for (int bit = 0; bit < 32; ++bit) reflected |= (rest >> bit & 1) << (31 - bit);
  return ~reflected;
}

TEST(Crc32c, PublishedVectors) {
  std::vector<std::byte> up, down;
  for (int i = 0; i < 32; ++i) up.push_back(std::byte(i)), down.push_back(std::byte(31 - i));
  const std::pair<std::vector<std::byte>, uint32_t> vectors[] = {
      {{}, 0},
      {bytes_of("a"), 0xC1D04330},
      {bytes_of("123456789"), 0xE3069283},       // the "check" value of the catalogue of CRCs
      {std::vector<std::byte>(32), 0x8A9136AA},  // RFC 3720, B.4, these four
      {std::vector<std::byte>(32, std::byte{0xFF}), 0x62A8AB43},
      {up, 0x46DD794E},
      {down, 0x113FDB5C}};
  for (const auto& [name, extend] : kWays)
    for (const auto& [bytes, crc] : vectors)
      EXPECT_EQ(extend(0, bytes), crc) << name << ", " << bytes.size() << " bytes";
}

TEST(Crc32c, EveryLengthAndSkewAgreesWithTheDefinition) {
  // 769 passes the short strips of the SSE4.2 way (3 x 256), 12290 and 30000 the long ones (3 x 4096).
  std::vector<int64_t> lengths;
  for (int64_t n = 0; n <= 70; ++n) lengths.push_back(n);
  for (const int64_t n : {255, 256, 767, 768, 769, 1537, 4096, 12287, 12288, 12289, 12290, 13063, 30000})
    lengths.push_back(n);
  for (const int64_t length : lengths)
    for (const int64_t skew : {0, 1, 7}) {
      const Memory memory(length, skew);
      fill(memory.span(), 7 + skew);
      const uint32_t expected = by_definition(memory.span());
      for (const auto& [name, extend] : kWays)
        ASSERT_EQ(extend(0, memory.span()), expected) << name << ", " << length << " bytes, skew " << skew;
    }
}

TEST(Crc32c, ExtendAndCombineAtEveryCut) {
  const auto bytes = pattern(1000, 3);
  const std::span<const std::byte> all = bytes;
  const uint32_t whole = by_definition(all);
  for (size_t cut = 0; cut <= all.size(); ++cut) {
    const uint32_t a = crc32c(all.first(cut)), b = crc32c(all.subspan(cut));
    for (const auto& [name, extend] : kWays)
      ASSERT_EQ(extend(a, all.subspan(cut)), whole) << name << " at " << cut;
    ASSERT_EQ(crc32c_combine(a, b, std::ssize(all) - static_cast<int64_t>(cut)), whole) << cut;
  }
}

TEST(Crc32c, CombineOfLongZeros) {
  // A part too long to build: 2^40 + 5 zero bytes, joined from parts of known CRC by doubling.
  uint32_t crc = crc32c(std::vector<std::byte>(1));
  int64_t bytes = 1;
  for (; bytes < int64_t{1} << 40; bytes *= 2) crc = crc32c_combine(crc, crc, bytes);
  const uint32_t five = crc32c(std::vector<std::byte>(5));
  EXPECT_EQ(crc32c_combine(crc, five, 5), crc32c_combine(five, crc, bytes));
  EXPECT_EQ(crc32c_extend(crc, std::vector<std::byte>(5)), crc32c_combine(crc, five, 5));
}

TEST(Crc32c, SeesEveryFlippedBit) {
  auto bytes = pattern(600, 5);
  const uint32_t good = crc32c(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_NE(crc32c(bytes), good) << bit;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

}  // namespace
}  // namespace strata
