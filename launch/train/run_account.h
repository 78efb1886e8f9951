// SPDX-License-Identifier: Apache-2.0
// Where a run stands: the position behind its last step, and what the step that runs says of itself, to
// people and to a restart.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "core/step/scalars.h"
#include "launch/metrics/step_record.h"
#include "launch/train/run_state.h"
#include "optim/schedule.h"

namespace strata {

class RunAccount {
 public:
  // All references must outlive this.
  RunAccount(const Config& config, const StepGuard& guard, const LearningRateSchedule& schedule)
      : config_(config), guard_(guard), schedule_(schedule) {}

  // What the job's steps are measured by: model FLOP of a step, of all ranks, and the most they do a second.
  void know_speed(double step_flops, double peak_flops) {
    step_flops_ = step_flops, peak_flops_ = peak_flops;
  }

  const RunPosition& position() const { return position_; }
  void go_on_from(RunPosition position) { position_ = std::move(position); }
  const int64_t& step() const { return step_; }  // the one that runs

  void begin_step(int64_t cursor_behind);  // the next one: samples consumed once it is done
  RunPosition position_after(const StepScalars& sums) const;
  StepRecord record_of(const StepScalars& sums, const MemoryUse& memory) const;
  void end_step(const StepScalars& sums) { position_ = position_after(sums); }

  // What a restart from the drives must know besides the state, and what it read there.
  std::string note_of(const StepScalars& sums, const MemoryUse& memory, const UpdateRule& rule,
                      uint64_t data_fingerprint) const;
  static StepRecord record_in(const std::string& note);

 private:
  const Config& config_;
  const StepGuard& guard_;
  const LearningRateSchedule& schedule_;
  double step_flops_ = 0, peak_flops_ = 0;
  RunPosition position_;
  int64_t step_ = 0, next_cursor_ = 0;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace strata
