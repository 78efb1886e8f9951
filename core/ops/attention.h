// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention with grouped key/value heads, computed tile by tile with a running softmax
// (Dao 2023, FlashAttention-2), so that no tokens-by-tokens matrix exists. Query head h reads key/value head
// h / (heads/kv_heads).
//
// All token tensors are [tokens, heads * head_dim] matrices, f32 or bf16 alike, unit stride in dim 1, any row
// stride (q, k and v may be column ranges of one fused matrix). head_dim is at most kMaxHeadDim. Softmax and
// sums in f32; a device with a dot product of bf16 may round weights to bf16 before they meet bf16 values.
// Bits do not depend on thread count.
#pragma once

#include <cstdint>
#include <span>

#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

inline constexpr int64_t kMaxHeadDim = 256;

// Queries [q_begin, q_begin + q_count) attend only keys [k_begin, k_begin + k_count). With `causal`, query i
// of the segment sees key j of the segment iff j <= i + diagonal. A whole document has diagonal 0; a
// context-parallel rank passes the offset between its queries and the piece of keys it holds. A query that
// sees no key gives out = 0 and lse = -inf.
struct AttentionSegment {
  int32_t q_begin = 0, q_count = 0;
  int32_t k_begin = 0, k_count = 0;
  int32_t diagonal = 0;
};

struct AttentionForward {
  Tensor q, k, v;
  Tensor out;  // like q, or f32: to be merged
  Tensor lse;  // f32 [heads, tokens of q]: log sum over seen keys of exp(scale * q.k)
  int64_t heads = 0, kv_heads = 0;
  float scale = 0;  // usually 1 / sqrt(head_dim)
  bool causal = true;
  std::span<const AttentionSegment>
      segments;  // must cover every query exactly once; read before the call returns
};
void attention_forward(Stream& stream, const AttentionForward& args);

struct AttentionBackward {
  Tensor q, k, v, out, lse, dout;
  Tensor dq, dk, dv;  // overwritten; keys that no query sees get 0. Each like its operand, or f32
  int64_t heads = 0, kv_heads = 0;
  float scale = 0;
  bool causal = true;
  std::span<const AttentionSegment> segments;
};
void attention_backward(Stream& stream, const AttentionBackward& args);

// Attention over two disjoint sets of keys from attention over each: outputs weighted by exp(lse). Backward
// needs no such thing: with `out` and `lse` of all keys, the gradients of the sets add up.
struct AttentionMerge {
  Tensor out, lse;        // f32 [tokens, heads * head_dim], [heads, tokens]: of one set; become those of both
  Tensor part, part_lse;  // like them: of the other
};
void attention_merge(Stream& stream, const AttentionMerge& args);

}  // namespace strata
