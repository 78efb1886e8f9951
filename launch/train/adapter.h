// SPDX-License-Identifier: Apache-2.0
// From the configuration's adapter section to what a model is built with.
#pragma once

#include "core/nn/model.h"
#include "launch/config/config.h"

namespace strata {

// Rank 0 without adapters. Layers may be written as transformers calls them: q_proj, c_attn. `seed` is the
// run's.
LoraSpec lora_spec(const AdapterConfig& adapter, int64_t seed);

// Throws Error(usage), with the layers there are, for a target that is no linear layer of the model.
void check_lora_targets(const Model& model);

// Freezes all that the configuration does not train.
void choose_trained(const Config& config, Model& model);

}  // namespace strata
