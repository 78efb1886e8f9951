// SPDX-License-Identifier: Apache-2.0
// What the model that a run begins with says of pairs of responses: the reference of direct preference
// optimization. Worked out once, before the first step, and kept in the run's folder for when it goes on.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/io/file_system.h"
#include "core/step/step_runner.h"
#include "launch/train/run_data.h"

namespace strata {

// Log-probabilities of both responses of every sample of a data set of pairs, by the weights that `runner`
// has now. Two evaluations of a micro-batch a pair. Collective: `data_ranks` ranks evaluate the same and add
// it up. `progress` hears the fraction done.
std::vector<float> reference_log_probabilities(StepRunner& runner,
                                               const std::shared_ptr<const Dataset>& pairs, int64_t vocab,
                                               int data_ranks, const std::function<void(double)>& progress);

// The two lists as a file that belongs to data of this fingerprint; false when it is not there or another's.
bool load_reference(FileSystem& files, const std::string& path, RunData& data);
void save_reference(FileSystem& files, const std::string& path, const RunData& data);

}  // namespace strata
