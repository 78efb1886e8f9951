// SPDX-License-Identifier: Apache-2.0
#include "core/base/suggest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace strata {
namespace {

// The definition, by recursion on the last letters.
size_t slow_distance(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  const auto cut = [](std::string_view s, size_t n) { return s.substr(0, s.size() - n); };
  size_t best = std::min({slow_distance(cut(a, 1), b) + 1, slow_distance(a, cut(b, 1)) + 1,
                          slow_distance(cut(a, 1), cut(b, 1)) + (a.back() != b.back())});
  if (a.size() > 1 && b.size() > 1 && a.back() == b[b.size() - 2] && a[a.size() - 2] == b.back())
    best = std::min(best, slow_distance(cut(a, 2), cut(b, 2)) + 1);
  return best;
}

TEST(Suggest, DistanceIsTheDefinitionOnAllShortWords) {
  std::vector<std::string> words = {""};
  for (size_t first = 0, length = 0; length < 4; ++length) {
    const size_t end = words.size();
    for (; first < end; ++first)
      for (const char letter : {'a', 'b', 'c'}) words.push_back(words[first] + letter);
  }
  ASSERT_EQ(words.size(), 1u + 3 + 9 + 27 + 81);
  for (const std::string& a : words)
    for (const std::string& b : words) ASSERT_EQ(edit_distance(a, b), slow_distance(a, b)) << a << " " << b;
}

TEST(Suggest, NearestOrNothing) {
  const std::vector<std::string> commands = {"train", "tokenize", "eval", "init"};
  EXPECT_EQ(nearest("trian", commands), "train");
  EXPECT_EQ(nearest("tokenise", commands), "tokenize");
  EXPECT_EQ(nearest("int", commands), "init");
  EXPECT_EQ(nearest("frobnicate", commands), "");
  EXPECT_EQ(nearest("x", commands), "");
  EXPECT_EQ(nearest("train", {}), "");
}

}  // namespace
}  // namespace strata
