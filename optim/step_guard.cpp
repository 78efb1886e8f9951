// SPDX-License-Identifier: Apache-2.0
#include "optim/step_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace strata {
namespace {

constexpr double kSmallestSpread = 0.01;  // of the mean

}  // namespace

std::optional<double> SpikeWindow::judge(double x) {
  std::optional<double> spike;
  if (std::ssize(values_) >= options_.history) {
    // Computed anew each time, in the order of the values: no running sums whose rounding a restart would
    // lose.
    const double count = static_cast<double>(values_.size());
    double mean = 0;
    for (const double value : values_) mean += value;
    mean /= count;
    double variance = 0;
    for (const double value : values_) variance += (value - mean) * (value - mean);
    variance /= count;
    const double deviation = std::max(std::sqrt(variance), kSmallestSpread * std::abs(mean));
    const double highest = mean + options_.spike.value() * deviation;
    if (x > highest) {
      spike = (x - mean) / deviation;
      x = highest;
    }
  }
  if (std::ssize(values_) == options_.window) values_.erase(values_.begin());
  values_.push_back(x);
  return spike;
}

void SpikeWindow::restore(std::span<const double> values) {
  const size_t kept = std::min(values.size(), static_cast<size_t>(options_.window));
  values_.assign(values.end() - static_cast<std::ptrdiff_t>(kept), values.end());
}

StepGuard::StepGuard(const StepGuardOptions& options)
    : options_(options), losses_(options), gradient_norms_(options) {
  check(!options.spike || *options.spike > 0, "[guard] the spike score is {}, expected above 0",
        options.spike.value_or(0));
  check(options.history >= 2 && options.window >= options.history,
        "[guard] a history of {} in a window of {} steps", options.history, options.window);
}

StepVerdict StepGuard::judge(double loss, double gradient_norm) {
  const struct {
    std::string_view name;
    double value;
    SpikeWindow& window;
  } watched[] = {{"loss", loss, losses_}, {"gradient norm", gradient_norm, gradient_norms_}};

  for (const auto& [name, value, window] : watched)
    if (!std::isfinite(value))
      return {options_.non_finite == OnNonFinite::skip ? StepAction::skip : StepAction::stop,
              fmt::format("{} is not finite", name)};
  if (!options_.spike) return {};

  StepVerdict verdict;
  for (const auto& [name, value, window] : watched) {
    const std::optional<double> z = window.judge(value);
    if (z && verdict.action == StepAction::apply)
      verdict = {
          StepAction::skip,
          fmt::format("{} {:.4g} is {:.1f} standard deviations above its recent mean", name, value, *z)};
  }
  return verdict;
}

void StepGuard::restore(const State& state) {
  losses_.restore(state.losses);
  gradient_norms_.restore(state.gradient_norms);
}

}  // namespace strata
