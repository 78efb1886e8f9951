// SPDX-License-Identifier: Apache-2.0
#include "precision/delayed_scales.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

using testing::ElementsAre;

class DelayedScalesTest : public testing::Test {
 protected:
  DelayedScales make(int64_t history) {
    return DelayedScales({.history = history, .margin = 1}, {Fp8Format::e4m3, Fp8Format::e5m2}, *memory_,
                         stream_);
  }
  // A step that sees these magnitudes: of site 0's input and gradient, then of site 1's.
  void step(DelayedScales& scales, const std::vector<float>& magnitudes) {
    scales.begin_step(stream_);
    for (int site = 0; site < 2; ++site) {
      *scales.amax(site, LinearSide::input).data<float>() = magnitudes[static_cast<size_t>(2 * site)];
      *scales.amax(site, LinearSide::gradient).data<float>() = magnitudes[static_cast<size_t>(2 * site + 1)];
    }
    // Another rank saw more of site 1's gradient.
    scales.end_step(stream_, [](std::span<float> all) { all[3] *= 2; });
  }
  static float factor(const DelayedScales& scales, int site, LinearSide side) {
    const Tensor factor = scales.factor(site, side);
    return factor ? *factor.data<const float>() : 0;
  }

  WorkerPool pool_{1};
  CpuStream stream_{pool_};
  std::shared_ptr<Allocator> memory_ = make_cpu_allocator();
};

TEST_F(DelayedScalesTest, FactorsComeFromTheLargestOfAllRememberedSteps) {
  DelayedScales scales = make(2);
  EXPECT_FALSE(scales.factor(0, LinearSide::input));
  step(scales, {448, 4, 0, 1});
  // 2^margin * amax / largest.
  EXPECT_EQ(factor(scales, 0, LinearSide::input), 2.0F);
  EXPECT_FALSE(scales.factor(1, LinearSide::input)) << "nothing was seen of it";
  EXPECT_EQ(factor(scales, 1, LinearSide::gradient), 1 / (57344.0F / 4));
  step(scales, {7, 4, 3.5F, 1});
  EXPECT_EQ(factor(scales, 0, LinearSide::input), 2.0F);
  step(scales, {14, 4, 3.5F, 1});  // the first is forgotten
  EXPECT_EQ(factor(scales, 0, LinearSide::input), 1 / 16.0F);
  EXPECT_THAT(scales.history(0), ElementsAre(14, 7, 4, 4));
  EXPECT_THAT(scales.history(1), ElementsAre(3.5F, 3.5F, 2, 2));
}

TEST_F(DelayedScalesTest, HistoriesGoOnElsewhere) {
  DelayedScales scales = make(8);
  for (const float x : {9.0F, 3.0F, 5.0F}) step(scales, {x, 2 * x, 3 * x, 4 * x});
  const std::vector<std::vector<float>> histories = {scales.history(0), scales.history(1)};
  DelayedScales again = make(8);
  again.restore(stream_, histories);
  step(scales, {1, 1, 1, 1});
  step(again, {1, 1, 1, 1});
  for (const int site : {0, 1}) {
    EXPECT_EQ(again.history(site), scales.history(site));
    for (const LinearSide side : {LinearSide::input, LinearSide::gradient})
      EXPECT_EQ(factor(again, site, side), factor(scales, site, side));
  }
  // One that remembers less, and a layer that begins anew.
  DelayedScales shorter = make(2);
  shorter.restore(stream_, std::vector<std::vector<float>>{histories[0], {}});
  EXPECT_EQ(shorter.steps(), 2);
  EXPECT_THAT(shorter.history(0), ElementsAre(5, 3, 10, 6));
  EXPECT_FALSE(shorter.factor(1, LinearSide::gradient));
}

}  // namespace
}  // namespace strata
