// SPDX-License-Identifier: Apache-2.0
#include "core/ops/loss_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"

namespace strata {
namespace {

class LossSumTest : public ::testing::Test {
 protected:
  LossSum sum_of(std::vector<float> losses, std::vector<int32_t> targets) {
    const auto rows = static_cast<int64_t>(losses.size());
    LossSum sum;
    sum_losses(stream_, Tensor::borrow(losses.data(), DType::f32, {rows}),
               Tensor::borrow(targets.data(), DType::i32, {rows}), &sum);
    stream_.synchronize();
    return sum;
  }
  // Rows [begin, end) of `order`.
  LossSum sum_of(const std::vector<size_t>& order, size_t begin, size_t end) {
    std::vector<float> losses;
    std::vector<int32_t> targets;
    for (size_t i = begin; i < end; ++i) {
      losses.push_back(losses_[order[i]]);
      targets.push_back(targets_[order[i]]);
    }
    return sum_of(losses, targets);
  }

  WorkerPool pool_{1};
  CpuStream stream_{pool_};
  std::vector<float> losses_;
  std::vector<int32_t> targets_;
};

TEST_F(LossSumTest, AddsToWhatIsThereAndSkipsIgnoredRows) {
  std::vector<float> losses{1.5f, 100, 0.25f, -0x1p-20f};
  std::vector<int32_t> targets{3, -1, 0, 7};
  const LossSum sum = sum_of(losses, targets);
  EXPECT_EQ(sum.targets, 3);
  EXPECT_EQ(sum.value(), 1.75 - 0x1p-20);
  EXPECT_EQ(sum.mean(), (1.75 - 0x1p-20) / 3);
  LossSum twice = sum;
  twice.add(sum);
  EXPECT_EQ(twice.value(), 2 * sum.value());
  EXPECT_EQ(twice.targets, 6);
  EXPECT_EQ(LossSum{}.value(), 0);
  EXPECT_TRUE(std::isnan(LossSum{}.mean())) << "no targets, no mean";
}

// The bits are those of any split over any ranks in any order, and of the exact sum: the losses are multiples
// of 2^-40 below 2^8, so that the sum of 64-bit integers is exact.
TEST_F(LossSumTest, BitsDoNotDependOnOrderOrSplit) {
  std::mt19937_64 random(11);
  std::exponential_distribution<float> loss(0.5f);
  __int128 exact = 0;
  int64_t counted = 0;
  for (int i = 0; i < 4099; ++i) {
    const float magnitude = i % 7 == 0 ? -loss(random) * 1e-6f : loss(random);
    losses_.push_back(std::ldexp(std::rint(std::ldexp(magnitude, 40)), -40));
    targets_.push_back(i % 5 == 0 ? -1 : i);
    if (i % 5 == 0) continue;
    exact += static_cast<__int128>(std::ldexp(static_cast<double>(losses_.back()), 40));
    ++counted;
  }
  std::vector<size_t> order(losses_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const LossSum whole = sum_of(order, 0, order.size());
  EXPECT_EQ(whole.value(), std::ldexp(static_cast<double>(exact), -40));
  EXPECT_EQ(whole.targets, counted);
  for (const size_t parts : {2u, 3u, 16u}) {
    std::shuffle(order.begin(), order.end(), random);
    LossSum merged;
    for (size_t part = parts; part-- > 0;)
      merged.add(sum_of(order, order.size() * part / parts, order.size() * (part + 1) / parts));
    EXPECT_EQ(merged.nll.bins, whole.nll.bins) << parts << " parts";
    EXPECT_EQ(merged.targets, whole.targets);
  }
}

TEST_F(LossSumTest, ALossThatIsNotFiniteShowsInTheSum) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    LossSum sum = sum_of({1, bad, 2}, {0, 1, 2});
    EXPECT_TRUE(std::isnan(sum.value())) << bad;
    EXPECT_EQ(sum.targets, 3);
    LossSum other = sum_of(std::vector<float>{4}, std::vector<int32_t>{0});
    other.add(sum);
    EXPECT_TRUE(std::isnan(other.mean())) << "and stays when sums are merged";
    EXPECT_EQ(sum_of({1, bad}, {0, -1}).value(), 1) << "unless its row is ignored";
  }
}

TEST_F(LossSumTest, MetaCountsAndTouchesNothing) {
  MetaStream meta(Device{DeviceKind::cpu, 0});
  const Device device{DeviceKind::meta, 0};
  LossSum sum;
  sum_losses(meta, Tensor::borrow(nullptr, DType::f32, {10}, device),
             Tensor::borrow(nullptr, DType::i32, {10}, device), &sum);
  EXPECT_EQ(meta.count.bytes, 80);
  EXPECT_EQ(sum.targets, 0);
}

}  // namespace
}  // namespace strata
