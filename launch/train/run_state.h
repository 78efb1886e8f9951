// SPDX-License-Identifier: Apache-2.0
// What a run must remember to go on as if it had never stopped, and how it lies in a checkpoint.
#pragma once

#include <string>

#include "checkpoint/local_checkpoint.h"
#include "core/step/step_runner.h"
#include "launch/config/load.h"
#include "optim/step_guard.h"

namespace strata {

struct RunPosition {
  int64_t step = 0;         // steps done
  int64_t updates = 0;      // of them that changed the weights: skipped ones did not
  int64_t cursor = 0;       // samples consumed
  int64_t tokens_seen = 0;  // that had a target
  StepGuard::State guard;
};

// Collective over `everyone` (null: one rank), whose rank 0 writes.
void save_run(FileSystem& files, const std::string& path, const StepRunner& runner, const UpdateRule& rule,
              const RunPosition& position, const std::string& config_toml, uint64_t data_fingerprint,
              Communicator* everyone = nullptr);

// Fills weights and optimizer state, on any layout. Collective. Throws Error(model) when the checkpoint is
// not of this model, and Error(data) when the run's data is not what it was.
RunPosition load_run(const LocalCheckpoint& checkpoint, StepRunner& runner, const UpdateRule& rule,
                     uint64_t data_fingerprint);

// Weights alone, for evaluation and sampling.
void load_weights(const LocalCheckpoint& checkpoint, StepRunner& runner);

// The configuration a checkpoint was trained with.
LoadedConfig checkpoint_config(const LocalCheckpoint& checkpoint);

// The newest checkpoint of a run's folder, or the file itself.
std::string find_checkpoint(FileSystem& files, const std::string& path);

}  // namespace strata
