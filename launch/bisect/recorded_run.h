// SPDX-License-Identifier: Apache-2.0
// The first steps of a run, recorded, with its ranks as threads of this process. Nothing is saved; the run's
// folder is neither read nor written.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "launch/bisect/step_recorder.h"
#include "launch/config/load.h"

namespace strata {

// Where a rank can be made to do something else than it should.
struct Interference {
  std::function<std::unique_ptr<World>(std::unique_ptr<World>)> world;
  std::function<std::unique_ptr<UpdateRule>(int rank, std::unique_ptr<UpdateRule>)> rule;
  std::function<void(int rank, int64_t step, const StepRunner&)> before_step;
  // Behind an action, before it is recorded; on its lane's thread.
  std::function<void(int rank, int64_t step, const Invocation&)> after_action;
};

struct RecordedRunOptions {
  int64_t steps = 1;
  std::optional<RecordKey> watch;  // as StepRecorder's
  Interference interference;
};

struct RecordedRun {
  Record record;
  std::vector<WatchedPart> watched;
};

// Ranks of a configuration that runs alone: parallel.dp left to the number of ranks is 1.
int num_ranks(const Config& config);

// From the initial weights, or from the checkpoint that checkpoint.resume names. Throws what training throws.
RecordedRun record_run(const LoadedConfig& loaded, const RecordedRunOptions& options = {});

}  // namespace strata
