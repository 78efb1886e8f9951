// SPDX-License-Identifier: Apache-2.0
// GPT-2 (Radford et al. 2019): LayerNorm, learned positions, GELU, biases everywhere, a tied vocabulary
// matrix. The projections that end on the residual path start smaller by sqrt(2 layers), section 2.3 of the
// report.
#include "core/models/gpt2.h"

#include <cmath>

#include "core/base/error.h"
#include "core/nn/embedding_block.h"
#include "core/nn/loss_head.h"
#include "core/nn/transformer_block.h"

namespace strata {

Model make_gpt2(const ModelSpec& spec, const Split& split) {
  if (spec.kv_heads != spec.heads || spec.qk_norm)
    throw Error(Fault::usage,
                {.what = "gpt2 has neither grouped key/value heads nor q/k norm",
                 .found = fmt::format("model.heads = {}, model.kv_heads = {}, model.qk_norm = {}", spec.heads,
                                      spec.kv_heads, spec.qk_norm),
                 .fix = "leave model.kv_heads and model.qk_norm out, or use model.arch = \"llama\""});
  Model model;
  model.blocks.push_back(make_embedding_block({.vocab = spec.vocab,
                                               .hidden = spec.hidden,
                                               .padded_vocab = padded_vocab(spec.vocab, split.parts),
                                               .positions = spec.max_positions,
                                               .multiplied = spec.tied && !split.twin_table,
                                               .init_std = spec.init_std,
                                               .position_init_std = spec.init_std / 2,
                                               .split = split}));
  for (int layer = 0; layer < spec.layers; ++layer)
    model.blocks.push_back(make_transformer_block(
        {.layer = layer,
         .hidden = spec.hidden,
         .heads = spec.heads,
         .kv_heads = spec.kv_heads,
         .head_dim = spec.head_dim,
         .ffn = spec.ffn,
         .norm = NormKind::layer,
         .norm_eps = spec.norm_eps,
         .activation = Activation::gelu,
         .rotary = false,
         .qkv_bias = true,
         .linear_bias = true,
         .init_std = spec.init_std,
         .residual_init_std = spec.init_std / std::sqrt(2.0f * static_cast<float>(spec.layers)),
         .split = split,
         .lora = spec.lora}));
  model.head = make_loss_head({.vocab = spec.vocab,
                               .padded_vocab = padded_vocab(spec.vocab, split.parts),
                               .hidden = spec.hidden,
                               .norm = NormKind::layer,
                               .norm_eps = spec.norm_eps,
                               .twin = spec.tied && split.twin_table,
                               .tied = spec.tied && !split.twin_table,
                               .init_std = spec.init_std,
                               .preference = spec.preference,
                               .split = split});
  return model;
}

}  // namespace strata
