// SPDX-License-Identifier: Apache-2.0
// What a GGUF file says of its model, as our description of one.
#pragma once

#include "checkpoint/adapters/gguf_source.h"
#include "checkpoint/adapters/hf_config.h"

namespace strata {

// Architectures llama, qwen2, qwen3 and gpt2. Throws Error(model) for others, and for a switch that would
// make it another model than ours. The vocabulary is as large as the embedding, which is tied where there is
// no output matrix. The scaling of Llama 3.1, which these files keep as its result (rope_freqs.weight), is
// recognised by its effect.
HfModel parse_gguf_model(const GgufSource& source);

}  // namespace strata
