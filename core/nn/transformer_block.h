// SPDX-License-Identifier: Apache-2.0
// A pre-norm transformer layer: attention, then a feed-forward network, each on a residual path.
//   x1 = x + out(attention(qkv(norm1(x))));   y = x1 + down(act(up(norm2(x1))))
#pragma once

#include "core/nn/layers.h"

namespace strata {

enum class Activation { swiglu, gelu };

// Sizes are those of the whole layer; heads, kv_heads and ffn must divide by split.parts.
struct TransformerBlockSpec {
  int layer = 0;  // names the parameters and the slice of the key/value cache
  int64_t hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0;
  NormKind norm = NormKind::rms;
  float norm_eps = 1e-5f;
  Activation activation = Activation::swiglu;
  bool rotary = true;
  bool qk_norm = false;
  bool qkv_bias = false;
  bool linear_bias = false;  // of the output, up and down projections
  float init_std = 0.02f;
  float residual_init_std = 0.02f;  // of the two projections that end on the residual path
  Split split = {};
  LoraSpec lora = {};
};

std::unique_ptr<Block> make_transformer_block(const TransformerBlockSpec& spec);

}  // namespace strata
