// SPDX-License-Identifier: Apache-2.0
#include "optim/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

using testing::HasSubstr;

using Rates = std::vector<std::pair<int64_t, double>>;  // step, rate

void expect_rates(const LearningRateOptions& options, const Rates& expected) {
  const LearningRateSchedule schedule(options);
  for (const auto& [step, rate] : expected)
    EXPECT_NEAR(schedule.rate(step), rate, 1e-14 * options.peak) << options.type << " at step " << step;
}

TEST(LearningRateSchedule, ExactValues) {
  const double half_cosine = 0.5 * (1 + std::sqrt(0.5));  // (1 + cos(pi / 4)) / 2
  expect_rates({.type = "cosine", .peak = 8, .steps = 10, .warmup = 2, .min_lr = 0.25},
               {{1, 4},
                {2, 8},
                {4, 2 + 6 * half_cosine},
                {6, 5},
                {8, 8 - 6 * half_cosine},
                {10, 2},
                {11, 2},
                {99, 2}});
  expect_rates({.type = "cosine", .peak = 1, .steps = 4, .warmup = 0, .min_lr = 0},
               {{1, half_cosine}, {2, 0.5}, {3, 1 - half_cosine}, {4, 0}});
  expect_rates({.type = "linear", .peak = 8, .steps = 10, .warmup = 2, .min_lr = 0.25},
               {{1, 4}, {2, 8}, {3, 7.25}, {6, 5}, {9, 2.75}, {10, 2}, {11, 2}});
  // Falls over the last 16 of 40 steps: 1 - sqrt(1/16) = 3/4, 1 - sqrt(4/16) = 1/2, 1 - sqrt(9/16) = 1/4.
  expect_rates({.type = "wsd", .peak = 8, .steps = 40, .warmup = 4, .decay = 0.4, .min_lr = 0.5},
               {{1, 2}, {4, 8}, {5, 8}, {23, 8}, {24, 8}, {25, 7}, {28, 6}, {33, 5}, {40, 4}, {41, 4}});
  expect_rates({.type = "constant", .peak = 8, .steps = 10, .warmup = 4, .min_lr = 0.1},
               {{1, 2}, {2, 4}, {3, 6}, {4, 8}, {5, 8}, {10, 8}, {99, 8}});
}

TEST(LearningRateSchedule, EdgesOfTheRun) {
  expect_rates({.type = "cosine", .peak = 1, .steps = 1, .min_lr = 0.5}, {{1, 0.5}, {2, 0.5}});
  expect_rates({.type = "cosine", .peak = 1, .steps = 1, .warmup = 1}, {{1, 1}, {2, 1}});
  expect_rates({.type = "linear", .peak = 4, .steps = 4, .warmup = 4, .min_lr = 0},
               {{1, 1}, {3, 3}, {4, 4}, {5, 4}});
  // The run ends within the warm-up.
  expect_rates({.type = "wsd", .peak = 8, .steps = 2, .warmup = 8}, {{1, 1}, {2, 2}, {3, 2}});
  // A wsd that never falls, one that only falls, and one whose fall is cut short by the warm-up.
  expect_rates({.type = "wsd", .peak = 1, .steps = 4, .decay = 0}, {{1, 1}, {4, 1}, {5, 1}});
  expect_rates({.type = "wsd", .peak = 1, .steps = 4, .decay = 1, .min_lr = 0},
               {{1, 0.5}, {2, 1 - std::sqrt(0.5)}, {3, 1 - std::sqrt(0.75)}, {4, 0}});
  expect_rates({.type = "wsd", .peak = 4, .steps = 6, .warmup = 4, .decay = 0.5, .min_lr = 0},
               {{3, 3}, {4, 4}, {5, 4 * (1 - std::sqrt(0.5))}, {6, 0}});
}

// Every row of the table: rises to the peak, never rises again, ends where it should.
TEST(LearningRateSchedule, EveryShapeRisesThenFalls) {
  for (const LearningRateRow& row : learning_rate_table()) {
    SCOPED_TRACE(row.name);
    for (const int64_t warmup : {0, 1, 7, 50}) {
      const LearningRateOptions options{
          .type = std::string(row.name), .peak = 3e-4, .steps = 200, .warmup = warmup, .min_lr = 0.1};
      const LearningRateSchedule schedule(options);
      for (int64_t step = 1; step <= 250; ++step) {
        const double now = schedule.rate(step);
        EXPECT_GT(now, 0);
        EXPECT_LE(now, options.peak);
        if (step <= warmup)
          EXPECT_DOUBLE_EQ(now, options.peak * static_cast<double>(step) / static_cast<double>(warmup));
        else
          EXPECT_LE(now, schedule.rate(std::max<int64_t>(step - 1, std::max<int64_t>(warmup, 1))));
      }
      const double last =
          row.falls == LearningRateRow::Falls::never ? options.peak : options.peak * options.min_lr;
      EXPECT_DOUBLE_EQ(schedule.rate(200), last);
      EXPECT_EQ(schedule.rate(250), schedule.rate(200));
      EXPECT_NEAR(row.shape(0), 1, 1e-15);
    }
  }
}

void expect_refused(const LearningRateOptions& options, const std::vector<std::string>& parts) {
  try {
    const LearningRateSchedule schedule(options);
    ADD_FAILURE() << parts[0] << " was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(LearningRateSchedule, BadOptionsAreNamed) {
  expect_refused({.type = "cosin"},
                 {"no such schedule", "schedule.type", "cosin", "cosine or linear or wsd or constant"});
  expect_refused({.peak = 0}, {"optimizer.lr", "above 0"});
  expect_refused({.peak = std::nan("")}, {"optimizer.lr", "nan"});
  expect_refused({.steps = 0}, {"run.steps", "at least 1"});
  expect_refused({.warmup = -1}, {"schedule.warmup", "-1"});
  expect_refused({.decay = 1.5}, {"schedule.decay", "1.5", "0 to 1"});
  expect_refused({.min_lr = -0.5}, {"schedule.min_lr", "-0.5"});
  EXPECT_THROW(LearningRateSchedule(LearningRateOptions{}).rate(0), ContractError);
}

}  // namespace
}  // namespace strata
