// SPDX-License-Identifier: Apache-2.0
// The learning rate as a pure function of the step: nothing to save, nothing to restore.
//
//   rate(step) = peak * step / warmup                                     for step <= warmup
//              = peak                                                     until the fall begins
//              = peak * (min_lr + (1 - min_lr) * shape(progress))         progress in (0, 1], 1 at the last
//              step
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace strata {

// A row of the table: how the rate falls from its peak (shape 1 at progress 0) to its end (shape 0 at
// progress 1).
struct LearningRateRow {
  std::string_view name;  // schedule.type
  std::string_view doc;
  enum class Falls { after_warmup, at_the_end, never } falls;
  double (*shape)(double progress);
};

// cosine, linear, wsd, constant.
std::span<const LearningRateRow> learning_rate_table();

struct LearningRateOptions {
  std::string type = "cosine";
  double peak = 3e-4;
  int64_t steps = 1;    // of the whole run
  int64_t warmup = 0;   // steps
  double decay = 0.2;   // part of all steps in which a wsd schedule falls
  double min_lr = 0.1;  // the last rate as a part of the peak
};

class LearningRateSchedule {
 public:
  // Throws Error(usage) for an unknown type or an option out of range. A warm-up that is longer than the run
  // is cut off by its end; a wsd fall that would begin within the warm-up begins after it.
  explicit LearningRateSchedule(const LearningRateOptions& options);

  // The rate of a step; the first is 1. Steps after the last keep its rate.
  double rate(int64_t step) const;

  int64_t fall_begins() const { return fall_begins_; }  // the last step at the peak

 private:
  LearningRateOptions options_;
  const LearningRateRow* row_;
  int64_t fall_begins_;
};

}  // namespace strata
