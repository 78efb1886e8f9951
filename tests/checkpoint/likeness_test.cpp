// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/likeness.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/checkpoint/adapters/memory_source.h"

namespace strata {
namespace {

MemorySource source_of(const std::vector<float>& values) {
  MemorySource source({{.name = "other", .shape = {2}}, {.name = "x", .shape = {std::ssize(values) / 3, 3}}});
  const auto* const bytes = reinterpret_cast<const std::byte*>(values.data());
  source.set("x", {bytes, bytes + values.size() * sizeof(float)});
  return source;
}

// Against sums over all elements at once, for pieces of every size.
TEST(LikenessTest, IsThatOfTheVectors) {
  std::vector<float> a, b;
  long double products = 0, squares_a = 0, squares_b = 0, distance = 0, largest = 0;
  for (int i = 0; i < 300; ++i) {
    a.push_back(std::sin(static_cast<float>(i)));
    b.push_back(i % 7 == 0 ? a.back() : a.back() + 0.1f * std::cos(static_cast<float>(3 * i)));
    const long double x = a.back(), y = b.back();
    products += x * y, squares_a += x * x, squares_b += y * y, distance += (x - y) * (x - y);
    largest = std::max(largest, std::abs(x - y));
  }
  const MemorySource source_a = source_of(a), source_b = source_of(b);
  for (const int64_t piece : {4, 12, 100, 1000000})
    for (const int threads : {1, 3}) {
      WorkerPool pool(threads);
      int64_t told = 0;
      const Likeness found =
          likeness_of(source_a, 1, source_b, 1, piece, pool, [&](int64_t bytes) { told += bytes; });
      EXPECT_NEAR(found.cosine(), static_cast<double>(products / std::sqrt(squares_a * squares_b)), 1e-14);
      EXPECT_NEAR(found.distance(), static_cast<double>(std::sqrt(distance / squares_a)), 1e-14);
      EXPECT_EQ(found.largest, static_cast<double>(largest));
      EXPECT_EQ(found.different, 300 - 43);
      EXPECT_EQ(told, 2 * 300 * 4);
    }
}

TEST(LikenessTest, OfZeroesAndOfWhatIsNoNumber) {
  WorkerPool pool(1);
  const auto of = [&](const std::vector<float>& a, const std::vector<float>& b) {
    return likeness_of(source_of(a), 1, source_of(b), 1, 1000, pool);
  };
  EXPECT_EQ(of({0, 0, 0}, {0, -0.0f, 0}).cosine(), 1);
  EXPECT_EQ(of({0, 0, 0}, {0, -0.0f, 0}).distance(), 0);
  EXPECT_EQ(of({0, 0, 0}, {0, 1, 0}).cosine(), 0);
  EXPECT_EQ(of({0, 0, 0}, {0, 1, 0}).distance(), INFINITY);
  EXPECT_EQ(of({3, 4, 0}, {-3, -4, 0}).cosine(), -1);
  EXPECT_EQ(of({3, 4, 0}, {3, 4, 5}).distance(), 1);
  const Likeness no_number = of({1, NAN, 1}, {1, 1, 2});
  EXPECT_TRUE(std::isnan(no_number.largest));
  EXPECT_TRUE(std::isnan(no_number.cosine()));
  EXPECT_EQ(no_number.different, 2);
}

}  // namespace
}  // namespace strata
