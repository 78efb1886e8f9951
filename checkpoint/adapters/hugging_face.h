// SPDX-License-Identifier: Apache-2.0
// Hugging Face's names of a model's tensors and our logical ones, both ways, as geometry (mapped_source.h).
#pragma once

#include <optional>
#include <string>

#include "checkpoint/adapters/hf_config.h"
#include "checkpoint/adapters/mapped_source.h"
#include "core/io/file_system.h"

namespace strata {

struct HfMapping {
  std::vector<MappedTensor> tensors;
  // What is stored and not taken along, with the reason: "name f32 [3, 4]: computed from the configuration".
  std::vector<std::string> dropped;
  // Stored tensors that must hold the same elements: a tied matrix that was stored twice, one copy of which
  // is dropped. The caller compares.
  std::vector<std::pair<size_t, size_t>> twins;
  std::vector<std::string> missing;  // of ours, which a rule let through
  std::string prefix;                // of the stored names: "model.", "transformer." or nothing
};

// States other than "param" (moments) come along. Strict: every tensor of the model must be there in its
// shape, but for those of `allow_missing` (name_rules.h, names of ours), and nothing else; Error(model) lists
// all that differs. `where` is what is read.
HfMapping from_hugging_face(const HfModel& model, std::span<const TensorSpec> stored,
                            const std::string& where, const std::vector<std::string>& allow_missing = {});

// `stored`: logical tensors. `prefix` as from_hugging_face found it, nothing for the family's own.
HfMapping to_hugging_face(const HfModel& model, std::span<const TensorSpec> stored, const std::string& where,
                          const std::optional<std::string>& prefix = std::nullopt,
                          const std::vector<std::string>& allow_missing = {});

// A module of the llama family, here and there: "layers.3.attention.query" and
// "model.layers.3.self_attn.q_proj", "head" and "lm_head". Nothing for names that mean none.
std::optional<std::string> hugging_face_module(const std::string& logical);
std::optional<std::string> logical_module(const std::string& hugging_face);
// Whether a name of Hugging Face's, with any prefix, is that of such a layer's weight.
bool is_hugging_face_linear(std::string_view tensor);

// Files of a model's folder that travel along with the weights: configuration, tokenizer.
std::vector<Asset> hf_assets(FileSystem& files, const std::string& folder);

}  // namespace strata
