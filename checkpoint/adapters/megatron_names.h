// SPDX-License-Identifier: Apache-2.0
// Megatron's names of a GPT model's tensors as our logical ones: layers stacked or numbered, query, key and
// value of each group of heads after another in one matrix, gate and up in one, vocabularies padded, moments
// as "optimizer.state.exp_avg.<name>". Source: megatron-core 0.16, models/gpt and transformer.
#pragma once

#include "checkpoint/adapters/hugging_face.h"

namespace strata {

// Whether these are a GPT model of Megatron.
bool has_megatron_names(std::span<const TensorSpec> stored);

// As from_hugging_face.
HfMapping from_megatron(const HfModel& model, std::span<const TensorSpec> stored, const std::string& where,
                        const std::vector<std::string>& allow_missing = {});

// The other way, as a model of transformer_engine or of local layers saves itself: layers stacked, a norm
// with the matrix behind it, vocabularies without padding (Megatron pads as it loads). Throws Error(model)
// like to_hugging_face.
std::vector<MappedTensor> to_megatron(const HfModel& model, std::span<const TensorSpec> stored,
                                      const std::string& where);

}  // namespace strata
