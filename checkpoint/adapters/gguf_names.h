// SPDX-License-Identifier: Apache-2.0
// GGUF's names of a model's tensors as our logical ones.
#pragma once

#include <map>

#include "checkpoint/adapters/hf_config.h"
#include "checkpoint/adapters/mapped_source.h"

namespace strata {

struct GgufMapping {
  std::vector<MappedTensor> tensors;
  std::map<size_t, int64_t> head_rows;  // of stored tensors: RotaryOrderSource puts them in order first
  std::vector<std::string> dropped;     // with the reason
  std::vector<std::string> missing;     // of ours, which a rule let through
};

// Strict: every tensor of the model must be there in its shape, but for those of `allow_missing`
// (name_rules.h, names of ours), and nothing else; Error(model) lists all that differs. `where` is the file.
GgufMapping from_gguf(const HfModel& model, std::span<const TensorSpec> stored, const std::string& where,
                      const std::vector<std::string>& allow_missing = {});

// The same way back: tensors of our names under the file's, heads put in its order
// (RotaryOrderSource::To::gguf) first; `head_rows` and pieces are by index into `ours`. Error(model) when a
// tensor of the model is not there.
GgufMapping to_gguf(const HfModel& model, std::span<const TensorSpec> ours, const std::string& where);

}  // namespace strata
