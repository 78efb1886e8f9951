// SPDX-License-Identifier: Apache-2.0
// Decides before an update whether it may run: refuses what is not finite and, when asked, spikes.
//
// A value x (the loss, or the gradient norm) is a spike when
//   x - mean > z * max(deviation, 0.01 * |mean|)
// with mean and (population) standard deviation over the last `window` values seen, once `history` of them
// are there. The floor of one per cent keeps a flat stretch from turning noise into spikes. A spike enters
// the window as the largest value that would have passed: one outlier does not widen the window's spread
// beyond that, and a lasting shift is accepted after a few steps instead of stopping training for good.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace strata {

enum class OnNonFinite { stop, skip };
enum class StepAction { apply, skip, stop };

struct StepGuardOptions {
  OnNonFinite non_finite = OnNonFinite::stop;
  std::optional<double> spike;  // z; empty: no such check
  int64_t window = 128;         // steps
  int64_t history = 32;         // steps before the first judgement
};

struct StepVerdict {
  StepAction action = StepAction::apply;
  std::string reason;  // a clause for people, empty for apply: "gradient norm 31.2 is 8.1 standard deviations
                       // above ..."
};

// Recent values of one quantity.
class SpikeWindow {
 public:
  explicit SpikeWindow(const StepGuardOptions& options) : options_(options) {}

  // How many (floored) standard deviations x lies above the mean, if that makes it a spike; then records x.
  std::optional<double> judge(double x);

  // Oldest first: what a checkpoint keeps.
  const std::vector<double>& values() const { return values_; }
  void restore(std::span<const double> values);

 private:
  StepGuardOptions options_;
  std::vector<double> values_;
};

// Deterministic: the same values in the same order give the same verdicts, on every rank and after a restart.
class StepGuard {
 public:
  explicit StepGuard(const StepGuardOptions& options);

  // Called once per step with the step's loss and global gradient norm (NaN where a gradient is not finite).
  StepVerdict judge(double loss, double gradient_norm);

  // What a checkpoint keeps; restoring it gives the verdicts of a run that never stopped.
  struct State {
    std::vector<double> losses;
    std::vector<double> gradient_norms;
    friend bool operator==(const State&, const State&) = default;
  };
  State state() const { return {losses_.values(), gradient_norms_.values()}; }
  void restore(const State& state);

 private:
  StepGuardOptions options_;
  SpikeWindow losses_;
  SpikeWindow gradient_norms_;
};

}  // namespace strata
