// SPDX-License-Identifier: Apache-2.0
// Attention, forward, on ordinary arithmetic units (no tensor cores): any head sizes up to kWidth, f32 or
// bf16.
//
// One block a tile of kEdge queries of one head, which meets the keys it sees kEdge at a time with a running
// softmax (Dao 2023, FlashAttention-2, algorithm 1): S = Q K^T, P = exp(scale S - max), O = O shrunk + P V.
// Q, and K and V in turn, lie in shared memory as f32, P as well; scores, sums of O, maxima and totals in
// registers. Bound by f32 multiply-adds and by reading their operands from shared memory.
#pragma once

#include "core/ops/cuda/kernels/attention_segments.cuh"
#include "core/ops/cuda/kernels/attention_tile.cuh"

namespace strata::cuda {

template <typename T>
struct AttentionRows {
  Rows<const T> q, k, v;
  float* lse;  // [heads, queries]
  SegmentTable segments;
  int64_t queries, keys;
  int heads, kv_heads;
  int qk_dim, v_dim;  // of one head
  float scale;
  bool causal;
  bool wide;  // every operand's heads are whole vectors of four elements, on their boundary
};

// A tile of queries: where it lies, and which keys it sees.
struct QueryTile {
  int64_t q_begin, k_begin;
  int rows;          // queries
  int visible;       // keys that its last query sees
  int64_t diagonal;  // query i of the tile sees key j iff j <= i + diagonal

  template <typename Args>
  __device__ QueryTile(const Args& args, int32_t tile, int edge) {
    const SegmentEntry segment = segment_of_tile(args.segments, tile);
    const int first = (tile - segment.first_tile) * edge;
    q_begin = int64_t{segment.q_begin} + first;
    k_begin = segment.k_begin;
    rows = segment.q_count - first < edge ? segment.q_count - first : edge;
    diagonal = int64_t{segment.diagonal} + first;
    const int64_t seen = args.causal ? rows + diagonal : segment.k_count;
    visible = static_cast<int>(seen < 0 ? 0 : seen < segment.k_count ? seen : segment.k_count);
  }
  template <typename Args>
  __device__ bool sees(const Args& args, int i, int j) const {
    return j < visible && (!args.causal || j <= i + diagonal);
  }
};

inline int64_t attention_forward_shared(int edge, int qk_dim, int v_dim) {
  const int64_t floats = pitch_of(qk_dim) + std::max(pitch_of(qk_dim), pitch_of(v_dim)) + edge + 4;
  return edge * floats * static_cast<int64_t>(sizeof(float));
}

template <typename T, int kEdge, int kWidth>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_forward_kernel(const AttentionRows<T> args, const Results<T> out) {
  constexpr int kPer = kEdge / kSide;
  constexpr float kInf = __builtin_inff();
  STRATA_DYNAMIC_SHARED(float, shared);
  const int key_pitch = pitch_of(args.qk_dim > args.v_dim ? args.qk_dim : args.v_dim);
  float* const queries = shared;
  float* const keys = queries + kEdge * pitch_of(args.qk_dim);  // then values
  float* const weights = keys + kEdge * key_pitch;

  const Square at;
  // Later tiles of a causal segment see more keys: begin with them.
  const QueryTile tile(args, static_cast<int32_t>(gridDim.x - 1 - blockIdx.x), kEdge);
  const int head = static_cast<int>(blockIdx.y), kv_head = head / (args.heads / args.kv_heads);
  load_tile<kEdge>(args.q.row(tile.q_begin) + int64_t{head} * args.qk_dim, args.q.stride, tile.rows,
                   args.qk_dim, args.wide, queries);
  float highest[kPer], total[kPer], sum[kPer][kWidth / kSide] = {};
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    highest[i] = -kInf;
    total[i] = 0;
  }

  for (int begin = 0; begin < tile.visible; begin += kEdge) {
    const int count = tile.visible - begin < kEdge ? tile.visible - begin : kEdge;
    const int64_t first_key = tile.k_begin + begin;
    __syncthreads();  // the values of the keys before are done with
    load_tile<kEdge>(args.k.row(first_key) + int64_t{kv_head} * args.qk_dim, args.k.stride, count,
                     args.qk_dim, args.wide, keys);
    __syncthreads();
    float scores[kPer][kPer];
    row_products<kPer>(queries, keys, args.qk_dim, scores);
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      float top = highest[i];
#pragma unroll
      for (int j = 0; j < kPer; ++j) {
        const bool seen = tile.sees(args, at.ty * kPer + i, begin + at.tx + kSide * j);
        scores[i][j] = seen ? scores[i][j] * args.scale : -kInf;
        top = fmaxf(top, scores[i][j]);
      }
      top = half_warp_max(top);
      // While a query has seen no key, both maxima are -inf and every weight is 0.
      const float base = top == -kInf ? 0.0f : top;
      const float shrink = __expf(highest[i] - base);
      highest[i] = top;
      total[i] *= shrink;
#pragma unroll
      for (float& x : sum[i]) x *= shrink;
#pragma unroll
      for (int j = 0; j < kPer; ++j) {
        const float weight = __expf(scores[i][j] - base);
        total[i] += weight;  // of this thread's keys; over the half warp at the end
        weights[(at.ty * kPer + i) * kWeightPitch<kEdge> + at.tx + kSide * j] = weight;
      }
    }
    __syncthreads();
    load_tile<kEdge>(args.v.row(first_key) + int64_t{kv_head} * args.v_dim, args.v.stride, count, args.v_dim,
                     args.wide, keys);
    __syncthreads();
    add_weighted_rows<kPer, kWidth>(weights, keys, args.v_dim, sum);
  }

  float factor[kPer];
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    total[i] = half_warp_sum(total[i]);
    factor[i] = total[i] == 0 ? 0.0f : 1.0f / total[i];
    const int row = at.ty * kPer + i;
    if (at.tx == 0 && row < tile.rows)
      args.lse[head * args.queries + tile.q_begin + row] =
          total[i] == 0 ? -kInf : highest[i] + logf(total[i]);
  }
  out.store(tile.q_begin, tile.rows, int64_t{head} * args.v_dim, args.v_dim, factor, sum);
}

}  // namespace strata::cuda
