// SPDX-License-Identifier: Apache-2.0
// The state of a run as checkpoints hold it: the f32 values that the optimizer steps from ("param"), whatever
// halves or masters they are kept in, its moments as they are ("m", "v"), and frozen weights in the type the
// model computes with. Nothing here depends on the layout: every rank has the rectangles it holds.
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/restore.h"
#include "checkpoint/saver.h"
#include "core/step/step_runner.h"

namespace strata {

class RunTensors {
 public:
  // All outlive this. `rule` is that of the run; the runner may have been made without one (evaluation): then
  // only weights are filled.
  RunTensors(const StepRunner& runner, const UpdateRule& rule, Stream& stream);

  // This rank's state. Values are put together in memory of this object, which must live until Saver::begin
  // returns.
  std::vector<SaveItem> save_items();

  // Fills this rank's state, or weights, from `source`. Collective over `peers`. The caller then calls
  // StepRunner::weights_changed.
  RestoreReport restore(const TensorSource& source, Peers& peers, WorkerPool& pool,
                        const RestoreRules& rules = {});

 private:
  bool keeps_values_apart(const LogicalState& state) const;
  float* values_of(const LogicalState& state);
  void take_values(const LogicalState& state, float* values);

  const UpdateRule& rule_;
  Stream& stream_;
  std::vector<LogicalState> states_;
  std::vector<std::vector<float>> values_;  // of states that keep them apart
};

}  // namespace strata
