// SPDX-License-Identifier: Apache-2.0
#include "optim/schedule.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

using Falls = LearningRateRow::Falls;

constexpr LearningRateRow kLearningRates[] = {
    {"cosine", "half a cosine from the end of the warm-up to the last step", Falls::after_warmup,
     [](double p) { return 0.5 * (1 + std::cos(std::numbers::pi * p)); }},
    {"linear", "a straight line from the end of the warm-up to the last step", Falls::after_warmup,
     [](double p) { return 1 - p; }},
    // The shape of the fall: Haegele et al., "Scaling laws and compute-optimal training beyond fixed training
    // durations" (NeurIPS 2024), section 3: 1 - sqrt beats a straight line.
    {"wsd", "warm-up, stable, then a fall of shape 1 - sqrt(progress) over the last part of the run",
     Falls::at_the_end, [](double p) { return 1 - std::sqrt(p); }},
    {"constant", "the peak after the warm-up", Falls::never, [](double) { return 1.0; }},
};

const LearningRateRow* find_row(std::string_view type) {
  const auto row = std::ranges::find(kLearningRates, type, &LearningRateRow::name);
  if (row != std::end(kLearningRates)) return row;
  std::vector<std::string_view> names;
  for (const LearningRateRow& known : kLearningRates) names.push_back(known.name);
  throw Error(Fault::usage, {.what = "there is no such schedule",
                             .where = "schedule.type",
                             .found = std::string(type),
                             .expected = fmt::format("{}", fmt::join(names, " or "))});
}

void require(bool holds, std::string_view key, double found, std::string_view expected) {
  if (!holds)
    throw Error(Fault::usage, {.what = "an option of the learning rate schedule is out of range",
                               .where = std::string(key),
                               .found = fmt::format("{}", found),
                               .expected = std::string(expected)});
}

}  // namespace

std::span<const LearningRateRow> learning_rate_table() { return kLearningRates; }

LearningRateSchedule::LearningRateSchedule(const LearningRateOptions& options)
    : options_(options), row_(find_row(options.type)) {
  require(std::isfinite(options.peak) && options.peak > 0, "optimizer.lr", options.peak,
          "a finite number above 0");
  require(options.steps >= 1, "run.steps", static_cast<double>(options.steps), "at least 1");
  require(options.warmup >= 0, "schedule.warmup", static_cast<double>(options.warmup), "at least 0");
  require(options.decay >= 0 && options.decay <= 1, "schedule.decay", options.decay,
          "a part of the run, 0 to 1");
  require(options.min_lr >= 0 && options.min_lr <= 1, "schedule.min_lr", options.min_lr,
          "a part of the peak, 0 to 1");

  switch (row_->falls) {
    case Falls::after_warmup:
      fall_begins_ = options.warmup;
      break;
    case Falls::at_the_end: {
      const int64_t falling = std::llround(options.decay * static_cast<double>(options.steps));
      fall_begins_ = std::max(options.warmup, options.steps - falling);
      break;
    }
    case Falls::never:
      fall_begins_ = options.steps;
      break;
  }
}

double LearningRateSchedule::rate(int64_t step) const {
  check(step >= 1, "[schedule] step is {}, the first one is 1", step);
  step = std::min(step, options_.steps);
  if (step < options_.warmup)
    return options_.peak * static_cast<double>(step) / static_cast<double>(options_.warmup);
  if (step <= fall_begins_) return options_.peak;
  const double progress =
      static_cast<double>(step - fall_begins_) / static_cast<double>(options_.steps - fall_begins_);
  return options_.peak * (options_.min_lr + (1 - options_.min_lr) * row_->shape(progress));
}

}  // namespace strata
