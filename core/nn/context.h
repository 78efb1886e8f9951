// SPDX-License-Identifier: Apache-2.0
// What a block is handed to run one action: the stream, the micro-batch, memory from the plan and what is
// bound to its linear layers and boundaries. A block keeps nothing of it.
#pragma once

#include <span>
#include <vector>

#include "core/nn/batch.h"
#include "core/nn/boundary.h"
#include "core/nn/kv_exchange.h"
#include "core/nn/linear_op.h"
#include "core/nn/region.h"
#include "core/ops/attention.h"

namespace strata {

// One micro-batch on the device. Legend: T = tokens (rows of the micro-batch times its sequence length).
struct TokenBatch {
  Tensor ids;                                  // i32 [T]
  Tensor targets;                              // i32 [T], -1: no loss
  Tensor positions;                            // i32 [T]
  std::span<const AttentionSegment> segments;  // of the queries here against the keys here
  // Against the pieces of keys that come from other ranks, in the order of their visits.
  std::span<const std::vector<AttentionSegment>> visits;
  float loss_scale = 1;  // 1 / number of targets of the whole step
  // Of preferences (ResponsePairs): i32 [3 pairs] and f32 [2 pairs]; absent: targets are learned one by one.
  Tensor pair_begin = {}, pair_reference = {};
  std::span<const TokenRun> runs = {};  // on the host; which tokens of the run these are
};

// Angles of rotary embeddings; absent for models without them.
struct RopeTable {
  Tensor cos, sin;  // f32 [max_positions, head_dim / 2]
};

// Keys and values of earlier tokens, for generating text; absent in training. `append` stores those of the
// new tokens of a layer and returns all of the sequence so far.
class KeyValueCache {
 public:
  struct View {
    Tensor k, v;  // [tokens so far, kv_heads * head_dim]
  };
  virtual ~KeyValueCache() = default;
  virtual View append(Stream& stream, int layer, const Tensor& k, const Tensor& v) = 0;
};

struct Context {
  Stream& stream;
  const TokenBatch& batch;
  const BoundarySet& boundaries;
  const LinearOp& linear;
  RopeTable rope;
  const KvExchange* keys = &one_piece();
  KeyValueCache* cache = nullptr;
  bool training = false;  // dropout drops

  // The planned values of the action. Forward fills saved_input and saved_weight, backward_input reads the
  // former and may read the latter and fills deferred, backward_weight reads saved_weight and deferred. A
  // region an action has no business with is empty.
  Region output;        // the block's result: x of the next block, or dx
  Region saved_input;   // from forward until backward_input
  Region saved_weight;  // from forward until backward_weight
  Region deferred;      // from backward_input until backward_weight

  // Working memory until the action ends, or a Scratch::Scope it is taken in.
  Region temporary() { return Region::temporary(stream.scratch(), stream.device()); }
  Tensor scratch(DType dtype, Shape shape) {
    return Tensor::borrow(stream.scratch().take(shape.numel() * size_of(dtype)), dtype, shape,
                          stream.device());
  }
};

}  // namespace strata
