// SPDX-License-Identifier: Apache-2.0
// The weights of a run that begins with a model that somebody trained.
#pragma once

#include <string>

#include "core/io/file_system.h"
#include "launch/train/run_state.h"

namespace strata {

// Fills the weights from `path`, in whatever format and type they are there, and whatever the layout is here;
// every rank reads what it holds. The optimizer's state stays as it is. Collective over the peers. Throws
// Error(model) listing every tensor that is missing, too many or of another shape.
void load_initial_weights(FileSystem& files, const std::string& path, StepRunner& runner,
                          const UpdateRule& rule, const Loading& loading);

}  // namespace strata
