// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "core/data/sampler.h"
#include "core/step/step_runner.h"

namespace strata {

// Loss over the first `samples` samples of a sequential source, each counted once, in batches of the runner's
// `rows`. `progress` is told the fraction done; may be empty.
LossSum evaluate_samples(StepRunner& runner, const DataSource& source, int64_t rows, int64_t samples,
                         const std::function<void(double)>& progress);

}  // namespace strata
