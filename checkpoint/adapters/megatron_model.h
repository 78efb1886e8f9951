// SPDX-License-Identifier: Apache-2.0
// The model that Megatron's arguments describe: the `args` that Megatron-LM puts into every checkpoint
// (common.pt of torch_dist, model_optim_rng.pt of the legacy format), as pickled data.
#pragma once

#include <optional>

#include "checkpoint/adapters/hf_config.h"
#include "checkpoint/adapters/pickle.h"
#include "core/io/file_system.h"

namespace strata {

// Nothing when the pickled dict has no `args`. Throws Error(model) naming an argument that makes it a model
// that we have not: experts, another activation, interleaved rotary positions. `where` is the file.
std::optional<HfModel> parse_megatron_args(const Pickle& pickle, const std::string& where);

// The folder of an iteration that `path` is, or that its latest_checkpointed_iteration.txt names.
std::string megatron_folder(FileSystem& files, const std::string& path);

// Of a torch_dist folder; nothing without a common.pt that holds them.
std::optional<HfModel> megatron_model(FileSystem& files, const std::string& folder);

}  // namespace strata
