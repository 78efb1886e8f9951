// SPDX-License-Identifier: Apache-2.0
// Hugging Face's config.json and our description of a model, both ways.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/element_type.h"
#include "core/nn/model.h"

namespace strata {

struct HfModel {
  std::string family;  // model_type: "llama", "qwen2", "qwen3", "mistral", "gpt2"
  ModelSpec spec;
  std::vector<std::string> notes;  // what a reader should know, a sentence each
};

// Throws Error(model) for a family that has no row here, and for a switch that would make it another model
// than ours. `where` is the file. Keys that do not change the computation are passed over.
HfModel parse_hf_config(const nlohmann::json& config, const std::string& where);

// The family that a model of ours is there. Throws Error(usage) when none is.
std::string hf_family(const ModelSpec& spec);

// The shortest decimal that is this float, as people write it: 1e-05, not 9.999999747378752e-06.
double shortest(float value);

// A config.json that transformers loads, weights of `type`.
nlohmann::ordered_json make_hf_config(const ModelSpec& spec, ElementType type);

}  // namespace strata
