// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "core/data/sampler.h"
#include "core/step/step_runner.h"

namespace strata {

// Which part of every round of an evaluation is this rank's.
struct EvaluationPart {
  int parts = 1, part = 0;                      // of the round's batches
  std::function<Batch(const Batch&)> cut = {};  // of a batch, what this rank works on; empty: all
};

// Loss over the first `samples` samples of a sequential source, each counted once, in batches of the runner's
// `rows`. `progress` is told the fraction done; may be empty. Collective, and the same sum on every rank.
LossSum evaluate_samples(StepRunner& runner, const DataSource& source, int64_t rows, int64_t samples,
                         const std::function<void(double)>& progress, const EvaluationPart& part = {});

}  // namespace strata
