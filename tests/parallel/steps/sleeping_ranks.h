// SPDX-License-Identifier: Apache-2.0
// Pipeline schedules as programs of stages that do nothing but take their time: simulated, or executed by
// ranks that sleep.
#pragma once

#include <ostream>
#include <vector>

#include "core/program/link.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {

struct SleepCase {
  const char* schedule;
  int ranks, micro_batches, virtual_stages = 1;

  Schedule make() const { return make_schedule(schedule, {ranks, virtual_stages, micro_batches}); }
  bool splits_backward() const { return find_schedule(schedule).splits_backward; }
};

std::ostream& operator<<(std::ostream& out, const SleepCase& c);

// One layer per stage; forward 1, both backwards 1. Where a schedule has them in one cell, all of it is the
// input's: a stage's gradient leaves as the cell ends, which is what the time line counts. A forward keeps
// one unit.
class StageCosts : public CostModel {
 public:
  static constexpr int64_t kUnit = 4096, kMessage = 64;
  explicit StageCosts(bool splits_backward) : weight_(splits_backward ? 1 : 0) {}

  int64_t bytes(const Value& value) const override {
    if (value.cls == ValueClass::x || value.cls == ValueClass::dx) return kMessage;
    return value.cls == ValueClass::saved_weight ? kUnit : 0;
  }
  int64_t scratch_bytes(const Action&) const override { return 0; }
  double seconds(const Action& action) const override {
    if (action.block == 0) return 0;
    switch (action.kind) {
      case Kind::forward:
        return 1;
      case Kind::backward_input:
        return 2 - weight_;
      case Kind::backward_weight:
        return weight_;
      default:
        return 0;
    }
  }

 private:
  double weight_;
};

// The linked programs of all ranks, with room enough that no lane waits for memory.
std::vector<LinkedProgram> programs_of(const SleepCase& c, const StageCosts& costs);

// Runs them on threads that sleep for their work, messages being real, and expects compute to idle (mean over
// ranks, share of the step) within 5% of the simulation. Other programs of the machine only make a step
// longer, so the shortest of a few tries counts, of those that had cores to themselves; false when there is
// none: this machine cannot measure now.
bool idles_as_simulated(const SleepCase& c, double unit_seconds);

}  // namespace strata
