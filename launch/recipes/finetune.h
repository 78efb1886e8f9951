// SPDX-License-Identifier: Apache-2.0
// The configuration that goes on training a given model.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/nn/model.h"

namespace strata {

struct FinetuneStart {
  std::string model;           // path of the weights
  std::string tokenizer;       // path, or "byte"
  std::string data;            // file to train on
  std::string name = "tuned";  // of the run
  bool lora = false;           // trains adapters beside the model, not the model
  std::string base_weights;    // of a model beside adapters, as adapter.base_weights; empty: as computed with
  std::string out;             // folder of the run; empty: runs/NAME
  std::string chat_template;   // as data.chat_template; empty: left out
  bool records = false;        // the data are records; so they are in .jsonl
  int64_t seq_len = 0;         // 0: 1024, or as many as the model has positions
  int64_t rows = 8;            // of a step, seq_len tokens each
  int64_t steps = 200, warmup = 10, every = 50;  // every: of evaluation
  double valid_fraction = 0.02;
  bool recompute = false;                                    // parallel.recompute = "full"
  std::vector<std::pair<std::string, std::string>> offload;  // keys of [offload], values as TOML
};

// TOML, commented: the model's sizes as they are, cautious settings for the rest.
std::string finetune_toml(const ModelSpec& spec, const FinetuneStart& start);

// The text with `name = value` in [section]: in place of the line there, behind the section's head, or in a
// section of its own at the end. `value` is TOML.
std::string with_key(std::string text, const std::string& section, const std::string& name,
                     const std::string& value);

}  // namespace strata
