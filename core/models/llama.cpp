// SPDX-License-Identifier: Apache-2.0
// The Llama family (Touvron et al. 2023; Grattafiori et al. 2024): RMSNorm, rotary positions, grouped-query
// attention, SwiGLU, no biases. With qkv_bias it is Qwen2, with qk_norm Qwen3.
#include "core/models/llama.h"

#include "core/nn/embedding_block.h"
#include "core/nn/loss_head.h"
#include "core/nn/transformer_block.h"

namespace strata {

Model make_llama(const ModelSpec& spec, const Split& split) {
  Model model;
  model.rotary = true;
  model.blocks.push_back(make_embedding_block({.vocab = spec.vocab,
                                               .hidden = spec.hidden,
                                               .padded_vocab = padded_vocab(spec.vocab, split.parts),
                                               .multiplied = spec.tied && !split.twin_table,
                                               .init_std = spec.init_std,
                                               .split = split}));
  for (int layer = 0; layer < spec.layers; ++layer)
    model.blocks.push_back(make_transformer_block({.layer = layer,
                                                   .hidden = spec.hidden,
                                                   .heads = spec.heads,
                                                   .kv_heads = spec.kv_heads,
                                                   .head_dim = spec.head_dim,
                                                   .ffn = spec.ffn,
                                                   .norm = NormKind::rms,
                                                   .norm_eps = spec.norm_eps,
                                                   .activation = Activation::swiglu,
                                                   .rotary = true,
                                                   .qk_norm = spec.qk_norm,
                                                   .qkv_bias = spec.qkv_bias,
                                                   .init_std = spec.init_std,
                                                   .residual_init_std = spec.init_std,
                                                   .split = split,
                                                   .lora = spec.lora}));
  model.head = make_loss_head({.vocab = spec.vocab,
                               .padded_vocab = padded_vocab(spec.vocab, split.parts),
                               .hidden = spec.hidden,
                               .norm = NormKind::rms,
                               .norm_eps = spec.norm_eps,
                               .twin = spec.tied && split.twin_table,
                               .tied = spec.tied && !split.twin_table,
                               .init_std = spec.init_std,
                               .preference = spec.preference,
                               .split = split});
  return model;
}

}  // namespace strata
