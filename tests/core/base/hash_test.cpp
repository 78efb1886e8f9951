// SPDX-License-Identifier: Apache-2.0
// Hashes end up in keys of random streams and in checkpoints: their values may never change.
#include "core/base/hash.h"

#include <gtest/gtest.h>

#include <set>

namespace strata {
namespace {

// The first outputs of the published SplitMix64 generator seeded with 0 (its state grows by the golden
// ratio).
TEST(Hash, Mix64IsSplitMix64) {
  constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ull;
  EXPECT_EQ(mix64(0), 0xE220A8397B1DCDAFull);
  EXPECT_EQ(mix64(kGolden), 0x6E789E6AA1B965F4ull);
  EXPECT_EQ(mix64(2 * kGolden), 0x06C45D188009454Full);
}

// FNV-1a test vectors of its authors (64 bits), mixed.
TEST(Hash, NameIsMixedFnv1a) {
  EXPECT_EQ(hash_name(""), mix64(0xCBF29CE484222325ull));
  EXPECT_EQ(hash_name("a"), mix64(0xAF63DC4C8601EC8Cull));
  EXPECT_EQ(hash_name("foobar"), mix64(0x85944171F73967E8ull));
  EXPECT_EQ(hash_name("\xff"), mix64((0xCBF29CE484222325ull ^ 0xff) * 0x100000001B3ull))
      << "bytes are unsigned";
}

TEST(Hash, CombineDependsOnOrder) {
  EXPECT_NE(hash_combine(1, 2), hash_combine(2, 1));
  EXPECT_NE(hash_combine(0, 0), 0u);
  std::set<uint64_t> seen;
  for (uint64_t a = 0; a < 50; ++a)
    for (uint64_t b = 0; b < 50; ++b) seen.insert(hash_combine(a, b));
  EXPECT_EQ(seen.size(), 2500u);
}

}  // namespace
}  // namespace strata
