// SPDX-License-Identifier: Apache-2.0
// The configuration that goes on training a given model.
#pragma once

#include <string>

#include "core/nn/model.h"

namespace strata {

struct FinetuneStart {
  std::string model;           // path of the weights
  std::string tokenizer;       // path, or "byte"
  std::string data;            // file to train on
  std::string name = "tuned";  // of the run
  bool lora = false;           // trains adapters beside the model, not the model
};

// TOML, commented: the model's sizes as they are, cautious settings for the rest.
std::string finetune_toml(const ModelSpec& spec, const FinetuneStart& start);

}  // namespace strata
