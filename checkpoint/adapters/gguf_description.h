// SPDX-License-Identifier: Apache-2.0
// What a GGUF file that is written says of its model: the keys of parse_gguf_model, the other way. Its
// vocabulary: gguf_vocabulary.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/adapters/gguf_values.h"
#include "checkpoint/adapters/hf_config.h"

namespace strata {

// llama.cpp's numbers of what most of a file is (general.file_type, enum llama_ftype).
enum class GgufFileType : uint8_t { f32 = 0, f16 = 1, q8_0 = 7, bf16 = 32 };

// "llama" for Mistral too. Throws Error(usage) where these files have no way to say what the model is.
std::string gguf_architecture(const HfModel& model);

void describe_gguf_model(const HfModel& model, const std::string& name, GgufFileType type,
                         GgufValues& values);

// The divisors that Llama 3.1's scaling makes of rotary frequencies (rope_freqs.weight), one for each pair of
// a head, as convert_hf_to_gguf.py computes them.
std::vector<float> llama3_rope_factors(const RopeSpec& rope, int64_t head_dim);

}  // namespace strata
