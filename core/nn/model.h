// SPDX-License-Identifier: Apache-2.0
// A model: its blocks in order and the head. Architectures (core/models) make it from a ModelSpec.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/nn/block.h"
#include "core/nn/lora.h"
#include "core/nn/rope_table.h"
#include "core/nn/split.h"
#include "core/ops/preference.h"

namespace strata {

// Sizes and switches of every architecture; how they are used is the architecture's business.
struct ModelSpec {
  std::string arch = "llama";
  int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0;
  int64_t vocab = 0;          // real entries
  int64_t max_positions = 0;  // a sequence is at most this long
  float norm_eps = 1e-5f;
  float init_std = 0.02f;
  bool tied = false;
  bool qk_norm = false;   // llama family: RMSNorm of each head's query and key (Qwen3)
  bool qkv_bias = false;  // llama family: biases of query, key and value (Qwen2)
  RopeSpec rope;
  PreferenceSpec preference;  // of the loss
  LoraSpec lora;              // adapters beside the linear layers of every block; rank 0: none
};

struct Model {
  ModelSpec spec;
  Split split;  // what of every layer is held here
  DType compute = DType::f32;
  std::vector<std::unique_ptr<Block>> blocks;  // embedding first
  std::unique_ptr<HeadBlock> head;             // behind them
  bool rotary = false;

  // Parameter 0 of block 0 is also the head's vocabulary matrix.
  bool tied() const { return spec.tied && !split.twin_table; }
  // The head's last parameter is another copy of it.
  bool twin_table() const { return spec.tied && split.twin_table; }
  int num_blocks() const { return static_cast<int>(blocks.size()) + 1; }  // the head included
  std::span<const Parameter> parameters(int block) const {
    return block + 1 < num_blocks() ? blocks[static_cast<size_t>(block)]->parameters() : head->parameters();
  }
  std::string block_name(int block) const {
    return block + 1 < num_blocks() ? blocks[static_cast<size_t>(block)]->name() : head->name();
  }
  // Freezes every parameter with a logical tensor whose name matches a pattern ('*' stands for any
  // characters). Returns the number of logical elements frozen. Throws Error(usage) for a pattern that
  // matches nothing, or only some of the tensors fused into one matrix.
  int64_t freeze(std::span<const std::string> patterns);
  // Freezes all others, with the same errors. Returns the number of logical elements still trained.
  int64_t train_only(std::span<const std::string> patterns);
  // Freezes all but the adapters and the layers that spec.lora trains whole. Throws Error(usage) as above.
  void freeze_base();
  // Frozen matrices of the blocks between embedding and head are kept in blocks. Throws Error(usage) for one
  // whose rows, here, are not whole blocks.
  void keep_in_blocks(WeightFormat format);

  // Of the logical tensors: padding and the second use of a tied table are not counted.
  int64_t num_parameters() const;
  int64_t num_trained() const;  // of them
};

}  // namespace strata
