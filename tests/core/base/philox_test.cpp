// SPDX-License-Identifier: Apache-2.0
#include "core/base/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/base/hash.h"

namespace strata {
namespace {

// Known answers of the authors' Random123 library (kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, KnownAnswers) {
  constexpr uint32_t f = 0xffffffffu;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({f, f, f, f}, {f, f}), (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, EveryBitOfEveryPartOfTheKeyMatters) {
  const RandomKey base{.seed = 1, .stream = 2, .step = 3};
  std::set<PhiloxBlock> by_index{random_block(base, 0)}, by_seed = by_index, by_stream = by_index,
                                                         by_step = by_index;
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t flip = uint64_t{1} << bit;
    by_index.insert(random_block(base, flip));
    by_seed.insert(random_block({.seed = base.seed ^ flip, .stream = 2, .step = 3}, 0));
    by_stream.insert(random_block({.seed = 1, .stream = base.stream ^ flip, .step = 3}, 0));
    by_step.insert(
        random_block({.seed = 1, .stream = 2, .step = base.step ^ static_cast<uint32_t>(flip)}, 0));
  }
  EXPECT_EQ(by_index.size(), 65u);
  EXPECT_EQ(by_seed.size(), 65u);
  EXPECT_EQ(by_stream.size(), 65u);
  EXPECT_EQ(by_step.size(), 33u);
}

// Mean of n uniforms: 1/2 with standard deviation sqrt(1/12n); mean of squares: 1/3 with sqrt(4/45n). Five of
// them.
TEST(Philox, UniformIsUniformAndOpen) {
  constexpr int kBlocks = 50000;
  const RandomKey key{.seed = 1234, .stream = hash_name("w"), .step = 0};
  double sum = 0, squares = 0;
  for (uint64_t block = 0; block < kBlocks; ++block)
    for (const uint32_t bits : random_block(key, block)) {
      const double u = uniform_open(bits);
      ASSERT_GT(u, 0);
      ASSERT_LT(u, 1);
      sum += u;
      squares += u * u;
    }
  constexpr double n = 4.0 * kBlocks;
  EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1 / (12 * n)));
  EXPECT_NEAR(squares / n, 1.0 / 3, 5 * std::sqrt(4 / (45 * n)));
}

TEST(Philox, UniformAtItsEnds) {
  EXPECT_EQ(uniform_open(0), 0x1p-24f);
  EXPECT_EQ(uniform_open(0xffffffffu), 1.0f - 0x1p-24f);
  EXPECT_EQ(uniform_open(0), uniform_open(511)) << "the low nine bits are not used";
  EXPECT_EQ(uniform_open(512) - uniform_open(0), 0x1p-23f);
  EXPECT_EQ(uniform_open(0xffffffffu) - uniform_open(0xffffffffu - 512), 0x1p-23f)
      << "evenly spaced at the top too";
}

}  // namespace
}  // namespace strata
