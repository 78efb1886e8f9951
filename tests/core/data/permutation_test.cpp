// SPDX-License-Identifier: Apache-2.0
// A permutation is proved one by counting; that it is a good one, by chi-squared bounds no fair shuffle
// misses often.
#include "core/data/permutation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "core/base/check.h"

namespace strata {
namespace {

std::vector<int64_t> values(const Permutation& p) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < p.size(); ++i) out.push_back(p(i));
  return out;
}

TEST(Permutation, IsABijectionBothWays) {
  for (const int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4096, 65537}) {
    for (const uint64_t seed : {uint64_t{0}, uint64_t{1234}, UINT64_MAX}) {
      for (const uint64_t epoch : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40}) {
        const Permutation p(n, seed, epoch);
        std::vector<bool> seen(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i) {
          const int64_t value = p(i);
          ASSERT_TRUE(value >= 0 && value < n) << n;
          ASSERT_FALSE(seen[static_cast<size_t>(value)]) << n << ": " << value << " twice";
          seen[static_cast<size_t>(value)] = true;
          ASSERT_EQ(p.inverse(value), i) << n;
        }
      }
    }
  }
}

TEST(Permutation, WorksAtTheLargestSizes) {
  for (const int64_t n : {int64_t{1} << 32, (int64_t{1} << 40) + 1, INT64_MAX}) {
    const Permutation p(n, 7, 3);
    for (const int64_t i : {int64_t{0}, int64_t{1}, n / 2, n - 1}) {
      const int64_t value = p(i);
      EXPECT_TRUE(value >= 0 && value < n);
      EXPECT_EQ(p.inverse(value), i);
    }
  }
}

// The order is part of what a seed means: a checkpoint's cursor must find the same samples in every later
// version.
TEST(Permutation, IsPinned) {
  EXPECT_THAT(values(Permutation(10, 1234, 0)), testing::ElementsAre(0, 2, 5, 4, 9, 3, 6, 1, 7, 8));
  EXPECT_THAT(values(Permutation(10, 1234, 1)), testing::ElementsAre(2, 0, 8, 9, 7, 3, 4, 1, 6, 5));
}

TEST(Permutation, SeedsAndEpochsDiffer) {
  const int64_t n = 1000;
  const std::vector<Permutation> all = {Permutation(n, 1, 0), Permutation(n, 2, 0), Permutation(n, 1, 1),
                                        Permutation(n, 2, 1), Permutation(n, 1ull << 32, 0)};
  for (size_t a = 0; a < all.size(); ++a)
    for (size_t b = a + 1; b < all.size(); ++b) {
      int64_t same = 0;
      for (int64_t i = 0; i < n; ++i) same += all[a](i) == all[b](i);
      EXPECT_LE(same, 10) << a << " " << b;  // expected 1, Poisson: P(more than 10) = 1e-8
    }
}

TEST(Permutation, EveryOrderOfThreeIsAboutEquallyLikely) {
  std::map<std::vector<int64_t>, int> counts;
  constexpr int kDraws = 60000;
  for (uint64_t seed = 0; seed < kDraws; ++seed) ++counts[values(Permutation(3, seed, 0))];
  ASSERT_EQ(counts.size(), 6u);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, kDraws / 6, 600);  // 6.6 standard deviations
}

TEST(Permutation, EveryElementGoesEverywhere) {
  for (const int64_t n : {7, 100}) {
    const int draws = static_cast<int>(400 * n);  // each of n * n cells expects 400
    std::vector<int> count(static_cast<size_t>(n * n));
    for (int seed = 0; seed < draws; ++seed) {
      const Permutation p(n, 99, static_cast<uint64_t>(seed));
      for (int64_t i = 0; i < n; ++i) ++count[static_cast<size_t>(i * n + p(i))];
    }
    double chi2 = 0;
    for (const int c : count) chi2 += (c - 400.0) * (c - 400.0) / 400.0;
    // (n-1)^2 degrees of freedom; six standard deviations.
    const double freedom = static_cast<double>((n - 1) * (n - 1));
    EXPECT_NEAR(chi2, freedom, 6 * std::sqrt(2 * freedom)) << n;
  }
}

TEST(Permutation, NeighboursPart) {
  // A fair shuffle leaves about one pair of neighbours in place (value, value + 1): Poisson with mean 1.
  const int64_t n = 65537;
  const auto v = values(Permutation(n, 5, 0));
  int64_t kept = 0, rising = 0;
  for (size_t i = 0; i + 1 < v.size(); ++i) kept += v[i + 1] == v[i] + 1, rising += v[i + 1] > v[i];
  EXPECT_LE(kept, 10);
  EXPECT_NEAR(static_cast<double>(rising), static_cast<double>(n) / 2,
              6 * std::sqrt(static_cast<double>(n) / 12));
}

TEST(Permutation, RefusesWhatIsOutside) {
  EXPECT_THROW(Permutation(0, 1, 0), ContractError);
  const Permutation p(5, 1, 0);
  EXPECT_THROW(p(5), ContractError);
  EXPECT_THROW(p(-1), ContractError);
  EXPECT_THROW(p.inverse(5), ContractError);
}

}  // namespace
}  // namespace strata
