// SPDX-License-Identifier: Apache-2.0
// The model that Megatron's arguments describe: the `args` that Megatron-LM puts into every checkpoint
// (common.pt of torch_dist, model_optim_rng.pt of the legacy format), as pickled data, both ways.
#pragma once

#include <optional>

#include "checkpoint/adapters/hf_config.h"
#include "checkpoint/adapters/pickle.h"
#include "checkpoint/logical.h"
#include "core/io/file_system.h"

namespace strata {

// Nothing when the pickled dict has no `args`. Throws Error(model) naming an argument that makes it a model
// that we have not: experts, another activation, interleaved rotary positions. `where` is the file.
std::optional<HfModel> parse_megatron_args(const Pickle& pickle, const std::string& where);

// The folder of an iteration that `path` is, or that its latest_checkpointed_iteration.txt names.
std::string megatron_folder(FileSystem& files, const std::string& path);

// Megatron-LM's tracker file, in the folder above the iterations'.
inline constexpr std::string_view kMegatronTracker = "latest_checkpointed_iteration.txt";
// "iter_0000012"
std::string megatron_iteration(int64_t step);

// The other way: what torch_dist has beside the tensors of a model after `step` steps. common.pt says the
// arguments (for Megatron-LM's --use-checkpoint-args) and the iteration; metadata.json the format. Throws Error(usage) for rotary positions that it cannot have.
std::vector<Asset> make_megatron_files(const ModelSpec& spec, int64_t step);
// And what every linear layer keeps for transformer_engine, which is nothing: keys, and the archives of their
// values.
std::vector<std::pair<std::string, std::string>> make_megatron_extra_states(const ModelSpec& spec);

// Of a torch_dist folder; nothing without a common.pt that holds them.
std::optional<HfModel> megatron_model(FileSystem& files, const std::string& folder);
std::optional<int64_t> megatron_step(FileSystem& files, const std::string& folder);

}  // namespace strata
