// SPDX-License-Identifier: Apache-2.0
// The weights of a run that begins with a model that somebody trained.
#pragma once

#include <string>

#include "core/io/file_system.h"
#include "launch/train/run_state.h"
#include "launch/train/run_tensors.h"

namespace strata {

// Fills the weights from `path`, in whatever format and type they are there, and whatever the layout is here;
// every rank reads what it holds. The optimizer's state stays as it is. Collective over the peers. Throws
// Error(model) listing every tensor that is missing, too many or of another shape. Adapters stay as they are.
// Returns RunTensors::model_digest over all ranks.
uint64_t load_initial_weights(FileSystem& files, const std::string& path, StepRunner& runner,
                              const UpdateRule& rule, const Loading& loading);

// The same of an opened source of logical tensors, of which only weights are read: those that are `wanted`.
uint64_t load_values(const TensorSource& source, RunTensors::Wanted wanted, StepRunner& runner,
                     const UpdateRule& rule, const Loading& loading);

}  // namespace strata
