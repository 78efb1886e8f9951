// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/tree_reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/hash.h"

namespace strata {
namespace {

std::vector<std::vector<float>> inputs_of(int members, int64_t n) {
  std::vector<std::vector<float>> inputs(static_cast<size_t>(members));
  uint64_t h = 1;
  for (auto& input : inputs)
    for (int64_t i = 0; i < n; ++i) {
      h = mix64(h);
      input.push_back(std::ldexp(static_cast<float>(h >> 40) - 0x1p23f, static_cast<int>(h & 15) - 24));
    }
  return inputs;
}

std::vector<const std::byte*> pointers(const std::vector<std::vector<float>>& inputs) {
  std::vector<const std::byte*> result;
  for (const auto& input : inputs) result.push_back(reinterpret_cast<const std::byte*>(input.data()));
  return result;
}

// Written out by hand, not derived.
TEST(TreeReduce, TheTreesOfUpToEight) {
  const int64_t n = 700;
  for (int members = 1; members <= 8; ++members) {
    const auto x = inputs_of(members, n);
    std::vector<float> out(static_cast<size_t>(n));
    tree_reduce(DType::f32, Reduction::sum, pointers(x), reinterpret_cast<std::byte*>(out.data()), n);
    for (size_t i = 0; i < out.size(); ++i) {
      const auto v = [&](size_t k) { return x[k][i]; };
      float expected = 0;
      switch (members) {
        case 1:
          expected = v(0);
          break;
        case 2:
          expected = v(0) + v(1);
          break;
        case 3:
          expected = (v(0) + v(1)) + v(2);
          break;
        case 4:
          expected = (v(0) + v(1)) + (v(2) + v(3));
          break;
        case 5:
          expected = ((v(0) + v(1)) + (v(2) + v(3))) + v(4);
          break;
        case 6:
          expected = ((v(0) + v(1)) + (v(2) + v(3))) + (v(4) + v(5));
          break;
        case 7:
          expected = ((v(0) + v(1)) + (v(2) + v(3))) + ((v(4) + v(5)) + v(6));
          break;
        case 8:
          expected = ((v(0) + v(1)) + (v(2) + v(3))) + ((v(4) + v(5)) + (v(6) + v(7)));
          break;
      }
      ASSERT_EQ(out[i], expected) << members << " members, element " << i;
    }
  }
}

// A tree of depth d errs by at most d half units of the sum of magnitudes (Higham, Accuracy and
// Stability, 4.2).
TEST(TreeReduce, ErrsNoMoreThanATreeDoes) {
  const int64_t n = 300;
  for (const int members : {9, 31, 64, 100}) {
    const auto x = inputs_of(members, n);
    std::vector<float> out(static_cast<size_t>(n));
    tree_reduce(DType::f32, Reduction::sum, pointers(x), reinterpret_cast<std::byte*>(out.data()), n);
    for (size_t i = 0; i < out.size(); ++i) {
      double sum = 0, magnitude = 0;
      for (const auto& input : x) {
        sum += input[i];
        magnitude += std::fabs(input[i]);
      }
      const double depth = std::ceil(std::log2(members));
      ASSERT_LE(std::fabs(out[i] - sum), depth * 0x1p-24 * 1.01 * magnitude) << members << " members";
    }
  }
}

TEST(TreeReduce, TheOutputMayBeAnyInput) {
  const int64_t n = 1000;
  for (size_t place = 0; place < 5; ++place) {
    auto x = inputs_of(5, n);
    std::vector<float> expected(static_cast<size_t>(n));
    tree_reduce(DType::f32, Reduction::sum, pointers(x), reinterpret_cast<std::byte*>(expected.data()), n);
    tree_reduce(DType::f32, Reduction::sum, pointers(x), reinterpret_cast<std::byte*>(x[place].data()), n);
    EXPECT_EQ(x[place], expected);
  }
}

TEST(TreeReduce, AMaximumIsNaNWhenAnyInputIs) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (size_t place = 0; place < 5; ++place) {
    std::vector<std::vector<float>> x = {
        {1, -3, -infinity}, {2, -2, -infinity}, {9, -7, -infinity}, {4, -5, -infinity}, {0, -4, -infinity}};
    x[place][0] = nan;
    std::vector<float> out(3);
    tree_reduce(DType::f32, Reduction::max, pointers(x), reinterpret_cast<std::byte*>(out.data()), 3);
    EXPECT_TRUE(std::isnan(out[0])) << place;
    EXPECT_EQ(out[1], -2);
    EXPECT_EQ(out[2], -infinity);
  }
}

TEST(TreeReduce, IntegersWrap) {
  const std::vector<int64_t> a = {std::numeric_limits<int64_t>::max(), 1}, b = {1, -5};
  std::vector<int64_t> out(2);
  const std::vector<const std::byte*> inputs = {reinterpret_cast<const std::byte*>(a.data()),
                                                reinterpret_cast<const std::byte*>(b.data())};
  tree_reduce(DType::i64, Reduction::sum, inputs, reinterpret_cast<std::byte*>(out.data()), 2);
  EXPECT_EQ(out[0], std::numeric_limits<int64_t>::min());
  EXPECT_EQ(out[1], -4);
}

}  // namespace
}  // namespace strata
