// SPDX-License-Identifier: Apache-2.0
// What a run must remember to go on as if it had never stopped, and how it lies in a checkpoint.
#pragma once

#include <string>

#include "checkpoint/restore.h"
#include "checkpoint/saver.h"
#include "checkpoint/strata_source.h"
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

// Everything of a checkpoint but its tensors.
nlohmann::json run_meta(const RunPosition& position, const UpdateRule& rule, const std::string& config_toml,
                        uint64_t data_fingerprint, const std::string& layout);

// The inverse. Throws Error(model) or Error(data) naming `where` when it is of another optimizer, of other
// data, or does not say where the run stood.
RunPosition position_of(const nlohmann::json& meta, const UpdateRule& rule, uint64_t data_fingerprint,
                        const std::string& where);

// Who fills a run from a checkpoint: the ranks that share the reading, and what works for them.
struct Loading {
  Peers& peers;
  Stream& stream;
  WorkerPool& pool;
  RestoreRules rules = {};
  RestoreReport* report = nullptr;  // gets what the last tensors' loading did
};

// Fills weights and optimizer state, whatever the layout was and is. Collective over the peers, which
// together hold every tensor once or more (or, with a rule that ignores extra ones, some of them). Throws
// Error(model) when the checkpoint is not of this model, and Error(data) when the run's data is not what it
// was.
RunPosition load_run(const StrataSource& checkpoint, StepRunner& runner, const UpdateRule& rule,
                     uint64_t data_fingerprint, const Loading& loading);

// Weights alone, for evaluation and sampling. `rule` is the one that trained them.
void load_weights(const StrataSource& checkpoint, StepRunner& runner, const UpdateRule& rule,
                  const Loading& loading);

// The configuration a checkpoint was trained with.
LoadedConfig checkpoint_config(const StrataSource& checkpoint);

// Whether a folder is a checkpoint of ours, or has any.
bool holds_checkpoint(FileSystem& files, const std::string& path);
// The newest whole checkpoint of a run's folder, or the folder itself when it is one.
std::string find_checkpoint(FileSystem& files, const std::string& path);

}  // namespace strata
