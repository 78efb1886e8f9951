// SPDX-License-Identifier: Apache-2.0
// The digest against its definition written out once more, on every instruction set, and its one promise:
// parts add up.
#include "checkpoint/digest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "checkpoint/digest_kernel.h"
#include "checkpoint/logical.h"
#include "core/base/hash.h"
#include "core/base/isa.h"

namespace strata {
namespace {

std::vector<std::byte> random_bytes(int64_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> data(static_cast<size_t>(bytes));
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  return data;
}

using Wide = unsigned __int128;

Wide wide(const Digest& digest) { return static_cast<Wide>(digest.high) << 64 | digest.low; }

// digest.h, element by element.
Wide by_definition(int64_t first, int64_t count, int64_t element_bytes, const std::byte* data) {
  Wide sum = 0;
  const int words = element_bytes == 8 ? 2 : 1;
  const int64_t word_bytes = element_bytes / words;
  for (int64_t i = 0; i < count * words; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, data + i * word_bytes, static_cast<size_t>(word_bytes));
    const uint64_t index =
        static_cast<uint64_t>(first) * static_cast<uint64_t>(words) + static_cast<uint64_t>(i);
    const uint64_t salt = index >> 32 ? mix64(index >> 32) : 0;
    sum += mix64((word << 32 | (index & 0xFFFFFFFFu)) ^ salt);
  }
  return sum;
}

TEST(DigestTest, IsItsDefinition) {
  for (const int64_t element_bytes : {1, 2, 4, 8})
    for (const int64_t count : {0, 1, 7, 8, 63, 1000})
      for (const int64_t first :
           {int64_t{0}, int64_t{5}, (int64_t{1} << 31) - 3, (int64_t{1} << 32) - 3, (int64_t{1} << 40) + 1}) {
        const auto data = random_bytes(count * element_bytes + 1, 7);
        for (const int misaligned : {0, 1})
          EXPECT_TRUE(wide(digest_of_run(first, count, element_bytes, data.data() + misaligned)) ==
                      by_definition(first, count, element_bytes, data.data() + misaligned))
              << element_bytes << " " << count << " " << first;
      }
}

TEST(DigestTest, EveryInstructionSetAgrees) {
  const auto data = random_bytes(4 * 10007, 3);
  for (const int word : {1, 2, 4}) {
    const HashSums plain = portable::hash_words(data.data(), 10007, word, 0xFFFF0000u, 99);
    const auto same = [&](const HashSums& other) {
      return other.low == plain.low && other.high == plain.high;
    };
    if (machine_isa() >= Isa::avx2) {
      EXPECT_TRUE(same(avx2::hash_words(data.data(), 10007, word, 0xFFFF0000u, 99)));
    }
    if (machine_isa() >= Isa::avx512) {
      EXPECT_TRUE(same(avx512::hash_words(data.data(), 10007, word, 0xFFFF0000u, 99)));
    }
  }
}

TEST(DigestTest, PartsAddUpToTheWhole) {
  const Shape shape{6, 5, 7};
  const auto data = random_bytes(shape.numel() * 4, 11);
  const Digest whole = digest_of(shape, Rect::whole(shape), 4, data.data());
  for (int64_t a = 0; a <= 6; a += 2)
    for (int64_t b = 0; b <= 5; ++b)
      for (int64_t c = 0; c <= 7; c += 3) {
        Digest sum;
        for (int part = 0; part < 8; ++part) {
          Rect rect{{part & 1 ? a : 0, part & 2 ? b : 0, part & 4 ? c : 0},
                    {part & 1 ? 6 - a : a, part & 2 ? 5 - b : b, part & 4 ? 7 - c : c}};
          std::vector<std::byte> own(static_cast<size_t>(rect.numel() * 4));
          copy_rect(rect, Rect::whole(shape), data.data(), rect, row_major(own.data(), rect.extent, 4), 4);
          sum += digest_of(shape, rect, 4, own.data());
        }
        EXPECT_EQ(sum, whole) << a << " " << b << " " << c;
      }
}

TEST(DigestTest, PiecesOfARectangleAddUpToIt) {
  const Shape shape{3, 4, 5, 6};
  const std::vector<Rect> rects = {Rect::whole(shape),
                                   {{1, 0, 0, 0}, {2, 4, 5, 6}},
                                   {{0, 1, 2, 0}, {3, 2, 3, 6}},
                                   {{2, 3, 4, 5}, {1, 1, 1, 1}},
                                   {{0, 1, 1, 1}, {3, 2, 3, 4}}};
  const auto data = random_bytes(shape.numel() * 2, 13);
  for (const Rect& rect : rects) {
    const Digest whole = digest_of(shape, rect, 2, data.data());
    for (const int64_t piece : {1, 3, 5, 7, 24, 1000}) {
      Digest sum;
      for (int64_t from = 0; from < rect.numel(); from += piece)
        sum += digest_of_part(shape, rect, from, std::min(piece, rect.numel() - from), 2,
                              data.data() + from * 2);
      EXPECT_EQ(sum, whole) << "rectangle of " << rect.numel() << " in pieces of " << piece;
    }
  }
  EXPECT_EQ(digest_of_part({}, Rect{}, 0, 1, 2, data.data()), digest_of_run(0, 1, 2, data.data()));
}

TEST(DigestTest, OneBitOrTwoSwappedElementsChangeIt) {
  const Shape shape{64};
  auto data = random_bytes(64 * 4, 5);
  const Digest before = digest_of(shape, Rect::whole(shape), 4, data.data());
  for (size_t bit = 0; bit < 64 * 32; ++bit) {
    data[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_NE(digest_of(shape, Rect::whole(shape), 4, data.data()), before) << bit;
    data[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  std::swap_ranges(data.begin(), data.begin() + 4, data.begin() + 40);
  EXPECT_NE(digest_of(shape, Rect::whole(shape), 4, data.data()), before);
}

TEST(DigestTest, TextAndBack) {
  const Digest digest{.low = 0x0123456789ABCDEFull, .high = 0xFEDCBA9876543210ull};
  EXPECT_EQ(to_string(digest), "fedcba98765432100123456789abcdef");
  EXPECT_EQ(digest_from(to_string(digest)), digest);
  for (const char* bad : {"", "0", "FEDCBA98765432100123456789abcdef", "fedcba98765432100123456789abcdeg",
                          "fedcba98765432100123456789abcdef0"})
    EXPECT_EQ(digest_from(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace strata
