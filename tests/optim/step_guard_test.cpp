// SPDX-License-Identifier: Apache-2.0
#include "optim/step_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/base/check.h"

namespace strata {
namespace {

using testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(StepGuard, NonFiniteStopsOrSkips) {
  for (const auto& [choice, action] :
       {std::pair{OnNonFinite::stop, StepAction::stop}, std::pair{OnNonFinite::skip, StepAction::skip}}) {
    StepGuard guard({.non_finite = choice});
    EXPECT_EQ(guard.judge(1, 1).action, StepAction::apply);
    EXPECT_TRUE(guard.judge(1, 1).reason.empty());
    EXPECT_EQ(guard.judge(kNan, 1).action, action);
    EXPECT_EQ(guard.judge(kNan, 1).reason, "loss is not finite");
    EXPECT_EQ(guard.judge(1, kInfinity).action, action);
    EXPECT_EQ(guard.judge(1, kNan).reason, "gradient norm is not finite");
    EXPECT_EQ(guard.judge(1, 1).action, StepAction::apply);
  }
}

TEST(StepGuard, WithoutAScoreNothingFiniteIsASpike) {
  StepGuard guard({});
  for (int step = 0; step < 100; ++step) EXPECT_EQ(guard.judge(1, 1).action, StepAction::apply);
  EXPECT_EQ(guard.judge(1e9, 1e9).action, StepAction::apply);
  EXPECT_TRUE(guard.state().losses.empty());
}

// 1 and 3 in turn: mean 2, deviation 1. With a score of 4 the limit is 6.
StepGuard settled(StepGuardOptions options = {.spike = 4, .window = 8, .history = 4}) {
  StepGuard guard(options);
  for (int64_t step = 0; step < options.window; ++step) guard.judge(step % 2 == 0 ? 1 : 3, 2);
  return guard;
}

TEST(StepGuard, TheLimitIsWhereTheFormulaPutsIt) {
  EXPECT_EQ(settled().judge(6.0, 2).action, StepAction::apply);
  const StepVerdict verdict = settled().judge(6.001, 2);
  EXPECT_EQ(verdict.action, StepAction::skip);
  EXPECT_EQ(verdict.reason, "loss 6.001 is 4.0 standard deviations above its recent mean");
  EXPECT_EQ(settled().judge(-1e6, 2).action, StepAction::apply) << "a fall is no spike";
}

TEST(StepGuard, TheGradientNormIsWatchedToo) {
  // The norm was always 2: the floor of one per cent of the mean stands in for the deviation.
  EXPECT_EQ(settled().judge(2, 2.0799).action, StepAction::apply);
  const StepVerdict verdict = settled().judge(2, 2.0801);
  EXPECT_EQ(verdict.action, StepAction::skip);
  EXPECT_THAT(verdict.reason, HasSubstr("gradient norm 2.08"));
}

TEST(StepGuard, NoVerdictBeforeThereIsHistory) {
  StepGuard guard({.spike = 4, .window = 8, .history = 4});
  for (const double loss : {1.0, 3.0, 1.0}) guard.judge(loss, 2);
  EXPECT_EQ(guard.judge(1000, 2).action, StepAction::apply);
  StepGuard one_more({.spike = 4, .window = 8, .history = 4});
  for (const double loss : {1.0, 3.0, 1.0, 3.0}) one_more.judge(loss, 2);
  EXPECT_EQ(one_more.judge(1000, 2).action, StepAction::skip);
}

TEST(StepGuard, ASpikeEntersTheWindowAsTheLimit) {
  StepGuard guard = settled();
  guard.judge(1e12, 2);
  EXPECT_EQ(guard.state().losses, (std::vector<double>{3, 1, 3, 1, 3, 1, 3, 6}));
  EXPECT_EQ(guard.judge(1e12, 2).action, StepAction::skip)
      << "the first did not blind the guard to the second";
}

TEST(StepGuard, WhatIsNotFiniteLeavesNoTrace) {
  StepGuard guard({.non_finite = OnNonFinite::skip, .spike = 4});
  guard.judge(1, 1);
  const StepGuard::State before = guard.state();
  guard.judge(kNan, 1);
  guard.judge(1, kInfinity);
  EXPECT_EQ(guard.state(), before);
}

TEST(StepGuard, ALastingShiftIsAcceptedInTime) {
  StepGuard guard({.spike = 6});
  std::mt19937 random(1);
  std::normal_distribution<double> noise(0, 0.05);
  for (int step = 0; step < 200; ++step) guard.judge(3 + noise(random), 1);
  int skipped = 0;
  while (guard.judge(6 + noise(random), 1).action == StepAction::skip) ASSERT_LT(++skipped, 40);
  EXPECT_GT(skipped, 0);
}

TEST(StepGuard, OrdinaryNoiseNeverTrips) {
  StepGuard guard({.spike = 6});
  std::mt19937 random(2);
  std::normal_distribution<double> noise(0, 1);
  for (int step = 0; step < 5000; ++step)
    ASSERT_EQ(
        guard.judge(2 + 8 * std::exp(-step / 500.0) + 0.05 * noise(random), 1 + 0.1 * noise(random)).action,
        StepAction::apply)
        << step;
}

TEST(StepGuard, ARestoredGuardJudgesAsTheOneThatNeverStopped) {
  const StepGuardOptions options{.non_finite = OnNonFinite::skip, .spike = 2.0, .window = 16, .history = 8};
  std::mt19937 random(3);
  std::lognormal_distribution<double> values(0, 0.7);  // heavy tail: many spikes
  StepGuard whole(options);
  auto resumed = std::make_unique<StepGuard>(options);
  int skipped = 0;
  for (int step = 0; step < 500; ++step) {
    if (step % 37 == 5) {
      const StepGuard::State kept = resumed->state();
      resumed = std::make_unique<StepGuard>(options);
      resumed->restore(kept);
    }
    const double loss = values(random), norm = step % 50 == 49 ? kNan : values(random);
    const StepVerdict expected = whole.judge(loss, norm), found = resumed->judge(loss, norm);
    ASSERT_EQ(found.action, expected.action) << step;
    ASSERT_EQ(found.reason, expected.reason) << step;
    ASSERT_EQ(resumed->state(), whole.state()) << step;
    skipped += expected.action == StepAction::skip;
  }
  EXPECT_GT(skipped, 20);
}

TEST(StepGuard, ASmallerWindowKeepsTheNewest) {
  StepGuard guard({.spike = 4, .window = 4, .history = 2});
  guard.restore({.losses = {1, 2, 3, 4, 5, 6}, .gradient_norms = {7, 8}});
  EXPECT_EQ(guard.state().losses, (std::vector<double>{3, 4, 5, 6}));
  EXPECT_EQ(guard.state().gradient_norms, (std::vector<double>{7, 8}));
}

TEST(StepGuard, BrokenContracts) {
  EXPECT_THROW(StepGuard({.spike = 0.0}), ContractError);
  EXPECT_THROW(StepGuard({.spike = 3.0, .window = 8, .history = 9}), ContractError);
  EXPECT_THROW(StepGuard({.spike = 3.0, .window = 8, .history = 1}), ContractError);
}

}  // namespace
}  // namespace strata
