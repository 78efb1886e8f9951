// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/save_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "checkpoint/save_report.h"

namespace strata {
namespace {

TEST(SavePlanTest, ReplicasShareTheWriting) {
  std::vector<std::vector<Held>> held(4);
  for (int t = 0; t < 40; ++t)
    for (auto& rank : held)
      rank.push_back(
          {{.name = fmt::format("t{}", t), .shape = {10 + t % 5, 10}}, {{0, 0}, {10 + t % 5, 10}}});
  const SavePlan plan = plan_save(held);
  std::vector<int64_t> load(4);
  for (size_t t = 0; t < 40; ++t) {
    int writers = 0;
    for (size_t r = 0; r < 4; ++r) {
      EXPECT_EQ(plan.ranks[r].rectangle[t], plan.ranks[0].rectangle[t]);
      if (!plan.ranks[r].writes[t]) continue;
      ++writers;
      load[r] += held[r][t].rect.numel();
    }
    EXPECT_EQ(writers, 1);
  }
  EXPECT_LE(*std::max_element(load.begin(), load.end()) - *std::min_element(load.begin(), load.end()), 140);
}

TEST(SavePlanTest, BytesAndBack) {
  const std::vector<Held> held{
      {{.name = "a", .state = "m", .type = ElementType::f8_e8m0, .shape = {3, 4}, .role = "r"},
       {{1, 2}, {1, 1}}},
      {{.name = "s", .shape = {}}, {}}};
  const std::vector<Held> back = unpack_held(pack_held(held));
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[0].tensor, held[0].tensor);
  EXPECT_EQ(back[0].rect, held[0].rect);
  EXPECT_EQ(back[1].tensor, held[1].tensor);
  EXPECT_ANY_THROW(unpack_held("\xFF\xFF"));
}

// 100,000 tensors over 1,024 ranks; each rank holds a row of a hundred of them and a replica of one.
TEST(SavePlanTest, LargeJobs) {
  constexpr int kTensors = 100000, kRanks = 1024;
  std::vector<std::vector<Held>> held(kRanks);
  for (int t = 0; t < kTensors; ++t) {
    const TensorSpec tensor{.name = fmt::format("layers.{}.weight", t), .shape = {2, 1000}};
    held[static_cast<size_t>(t % kRanks)].push_back({tensor, {{0, 0}, {1, 1000}}});
    held[static_cast<size_t>((t + 1) % kRanks)].push_back({tensor, {{1, 0}, {1, 1000}}});
  }
  const auto start = std::chrono::steady_clock::now();
  const SavePlan plan = plan_save(held);
  const std::string shares = pack_shares(plan.ranks);
  EXPECT_EQ(unpack_share(shares, 1023).writes.size(), held[1023].size());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("  planned in %.2f s\n", seconds);
  EXPECT_EQ(plan.tensors.size(), static_cast<size_t>(kTensors));
}

}  // namespace
}  // namespace strata
