// SPDX-License-Identifier: Apache-2.0
// Kernels of attention: one head, one tile of queries, all the keys it sees.
#pragma once

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/ops/cpu/kernels/matrix_ref.h"

namespace strata::cpu {

inline constexpr int kAttentionTile = 64;      // queries and keys of a tile
inline constexpr int kAttentionMaxHead = 256;  // largest head_dim: tiles are on the stack

// One head's columns of the operands; row 0 is token 0.
struct AttentionHead {
  MatrixRef q, k, v, out;
  float* lse;  // [tokens]
  int head_dim;
  float scale;
  bool causal;
  // Backward only. dk and dv are sums in f32, [key tokens, head_dim rounded up to 16], added to.
  MatrixRef dout, dq;
  float *dk, *dv;
};

// Queries [q_begin, q_begin + q_count), q_count <= kAttentionTile, see keys k_begin + j, j < k_count and,
// when causal, j <= i + diagonal for the i-th query of the tile.
struct AttentionTile {
  int64_t q_begin, k_begin;
  int32_t q_count, k_count;
  int64_t diagonal;
};

struct AttentionKernels {
  void (*forward)(const AttentionHead&, const AttentionTile&);
  void (*backward)(const AttentionHead&, const AttentionTile&);
};
STRATA_DECLARE_PER_ISA(const AttentionKernels attention_kernels);

// For bf16 operands whose head_dim is a multiple of sixteen, where the instruction set has a dot product of
// bf16.
namespace avx512_bf16 {
extern const AttentionKernels attention_pair_kernels;
}

}  // namespace strata::cpu
