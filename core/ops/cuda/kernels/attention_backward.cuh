// SPDX-License-Identifier: Apache-2.0
// Attention, backward, without atomics: every gradient has one owner, which adds in a fixed order.
//   P = exp(scale Q K^T - lse)   dS = P (dO V^T - delta) scale   delta = rowsum(dO O)
//   dQ = dS K                    dK = dS^T Q                     dV = P^T dO
//
// attention_delta_kernel: a warp a query and head. attention_dq_kernel: a block a tile of queries of one
// head, over the keys it sees. attention_dkv_kernel: a block a tile of keys of one key/value head, over the
// segments, heads and queries that see them. So scores are made twice (seven products for five), which is the
// price of no atomics and no sums in memory. Tiles in shared memory as f32, sums in registers; bound by f32
// multiply-adds.
#pragma once

#include "core/ops/cuda/kernels/attention_forward.cuh"

namespace strata::cuda {

template <typename T>
struct AttentionGradients {
  Rows<const T> out, dout;
  float* delta;  // [heads, queries]
  Results<T> dq, dk, dv;
};

inline int64_t attention_backward_shared(int edge, int qk_dim, int v_dim) {
  const int64_t floats = 2 * pitch_of(qk_dim) + 2 * pitch_of(v_dim) + edge + 4 + 2;
  return edge * floats * static_cast<int64_t>(sizeof(float));
}

template <typename T>
__global__ void attention_delta_kernel(const AttentionRows<T> args, const AttentionGradients<T> gradients) {
  const int64_t warp = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  const unsigned lane = threadIdx.x % 32;
  const int64_t query = warp / args.heads, head = warp - query * args.heads;
  if (query >= args.queries) return;
  const T* const out = gradients.out.row(query) + head * args.v_dim;
  const T* const dout = gradients.dout.row(query) + head * args.v_dim;
  float sum = 0;
  for (int c = static_cast<int>(lane); c < args.v_dim; c += 32) sum += to_float(out[c]) * to_float(dout[c]);
  sum = warp_sum(sum);
  if (lane == 0) gradients.delta[head * args.queries + query] = sum;
}

// The log-sum-exp of a query as the weights need it: +inf, which makes every weight 0, where it saw no key.
__device__ inline float weight_base(float lse) { return lse == -__builtin_inff() ? __builtin_inff() : lse; }

template <typename T, int kEdge, int kWidth>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_dq_kernel(const AttentionRows<T> args, const AttentionGradients<T> gradients) {
  constexpr int kPer = kEdge / kSide;
  STRATA_DYNAMIC_SHARED(float, shared);
  float* const queries = shared;
  float* const douts = queries + kEdge * pitch_of(args.qk_dim);
  float* const keys = douts + kEdge * pitch_of(args.v_dim);
  float* const values = keys + kEdge * pitch_of(args.qk_dim);
  float* const dscores = values + kEdge * pitch_of(args.v_dim);

  const Square at;
  const QueryTile tile(args, static_cast<int32_t>(gridDim.x - 1 - blockIdx.x), kEdge);
  const int head = static_cast<int>(blockIdx.y), kv_head = head / (args.heads / args.kv_heads);
  load_tile<kEdge>(args.q.row(tile.q_begin) + int64_t{head} * args.qk_dim, args.q.stride, tile.rows,
                   args.qk_dim, args.wide, queries);
  load_tile<kEdge>(gradients.dout.row(tile.q_begin) + int64_t{head} * args.v_dim, gradients.dout.stride,
                   tile.rows, args.v_dim, args.wide, douts);
  float lse[kPer], delta[kPer], one[kPer], sum[kPer][kWidth / kSide] = {};
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    const bool present = at.ty * kPer + i < tile.rows;
    const int64_t query = head * args.queries + tile.q_begin + at.ty * kPer + i;
    lse[i] = present ? weight_base(args.lse[query]) : __builtin_inff();
    delta[i] = present ? gradients.delta[query] : 0.0f;
    one[i] = 1;
  }

  for (int begin = 0; begin < tile.visible; begin += kEdge) {
    const int count = tile.visible - begin < kEdge ? tile.visible - begin : kEdge;
    const int64_t first_key = tile.k_begin + begin;
    __syncthreads();  // the keys before are done with
    load_tile<kEdge>(args.k.row(first_key) + int64_t{kv_head} * args.qk_dim, args.k.stride, count,
                     args.qk_dim, args.wide, keys);
    load_tile<kEdge>(args.v.row(first_key) + int64_t{kv_head} * args.v_dim, args.v.stride, count, args.v_dim,
                     args.wide, values);
    __syncthreads();
    float scores[kPer][kPer], dweights[kPer][kPer];
    row_products<kPer>(queries, keys, args.qk_dim, scores);
    row_products<kPer>(douts, values, args.v_dim, dweights);
#pragma unroll
    for (int i = 0; i < kPer; ++i)
#pragma unroll
      for (int j = 0; j < kPer; ++j) {
        const bool seen = tile.sees(args, at.ty * kPer + i, begin + at.tx + kSide * j);
        const float weight = seen ? __expf(scores[i][j] * args.scale - lse[i]) : 0.0f;
        dscores[(at.ty * kPer + i) * kWeightPitch<kEdge> + at.tx + kSide * j] =
            weight * (dweights[i][j] - delta[i]) * args.scale;
      }
    __syncwarp();  // a row is read by the half warp that wrote it
    add_weighted_rows<kPer, kWidth>(dscores, keys, args.qk_dim, sum);
  }
  gradients.dq.store(tile.q_begin, tile.rows, int64_t{head} * args.qk_dim, args.qk_dim, one, sum);
}

template <typename T, int kEdge, int kWidth>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_dkv_kernel(const AttentionRows<T> args, const AttentionGradients<T> gradients) {
  constexpr int kPer = kEdge / kSide;
  STRATA_DYNAMIC_SHARED(float, shared);
  float* const keys = shared;
  float* const values = keys + kEdge * pitch_of(args.qk_dim);
  float* const queries = values + kEdge * pitch_of(args.v_dim);
  float* const douts = queries + kEdge * pitch_of(args.qk_dim);
  float* const weights = douts + kEdge * pitch_of(args.v_dim);  // then gradients of scores: [key, query]
  float* const lse = weights + kEdge * kWeightPitch<kEdge>;
  float* const delta = lse + kEdge;

  const Square at;
  const int64_t first_key = int64_t{blockIdx.x} * kEdge;
  const int rows = static_cast<int>(args.keys - first_key < kEdge ? args.keys - first_key : kEdge);
  const int kv_head = static_cast<int>(blockIdx.y), group = args.heads / args.kv_heads;
  load_tile<kEdge>(args.k.row(first_key) + int64_t{kv_head} * args.qk_dim, args.k.stride, rows, args.qk_dim,
                   args.wide, keys);
  load_tile<kEdge>(args.v.row(first_key) + int64_t{kv_head} * args.v_dim, args.v.stride, rows, args.v_dim,
                   args.wide, values);
  float one[kPer], dk[kPer][kWidth / kSide] = {}, dv[kPer][kWidth / kSide] = {};
#pragma unroll
  for (float& x : one) x = 1;

  const EntryRange entries = segments_of_keys(args.segments, first_key, first_key + rows);
  for (int32_t entry = entries.first; entry < entries.end; ++entry) {
    const SegmentEntry segment = args.segments.entries[entry];
    const int64_t offset = first_key - segment.k_begin;  // key r of the tile is key offset + r of the segment
    if (offset >= segment.k_count) continue;
    // The first query that sees the tile's first key of the segment, rounded down to a whole step.
    const int64_t lowest = (offset < 0 ? 0 : offset) - segment.diagonal;
    const int64_t begin = args.causal && lowest > 0 ? lowest / kEdge * kEdge : 0;
    for (int head = kv_head * group; head < (kv_head + 1) * group; ++head)
      for (int64_t first = begin; first < segment.q_count; first += kEdge) {
        const int count = static_cast<int>(segment.q_count - first < kEdge ? segment.q_count - first : kEdge);
        const int64_t query = segment.q_begin + first;
        __syncthreads();  // the queries before are done with
        load_tile<kEdge>(args.q.row(query) + int64_t{head} * args.qk_dim, args.q.stride, count, args.qk_dim,
                         args.wide, queries);
        load_tile<kEdge>(gradients.dout.row(query) + int64_t{head} * args.v_dim, gradients.dout.stride, count,
                         args.v_dim, args.wide, douts);
        if (threadIdx.x < kEdge) {
          const int i = static_cast<int>(threadIdx.x);
          lse[i] = i < count ? weight_base(args.lse[head * args.queries + query + i]) : __builtin_inff();
          delta[i] = i < count ? gradients.delta[head * args.queries + query + i] : 0.0f;
        }
        __syncthreads();
        float scores[kPer][kPer], dscores[kPer][kPer];
        row_products<kPer>(keys, queries, args.qk_dim, scores);
        row_products<kPer>(values, douts, args.v_dim, dscores);
#pragma unroll
        for (int i = 0; i < kPer; ++i)
#pragma unroll
          for (int j = 0; j < kPer; ++j) {
            const int64_t key = offset + at.ty * kPer + i, q = at.tx + kSide * j;
            const bool seen = key >= 0 && key < segment.k_count && q < count &&
                              (!args.causal || key <= first + q + segment.diagonal);
            const float weight = seen ? __expf(scores[i][j] * args.scale - lse[q]) : 0.0f;
            dscores[i][j] = weight * (dscores[i][j] - delta[q]) * args.scale;
            weights[(at.ty * kPer + i) * kWeightPitch<kEdge> + q] = weight;
          }
        __syncwarp();  // a row is read by the half warp that wrote it
        add_weighted_rows<kPer, kWidth>(weights, douts, args.v_dim, dv);
        __syncwarp();
#pragma unroll
        for (int i = 0; i < kPer; ++i)
#pragma unroll
          for (int j = 0; j < kPer; ++j)
            weights[(at.ty * kPer + i) * kWeightPitch<kEdge> + at.tx + kSide * j] = dscores[i][j];
        __syncwarp();
        add_weighted_rows<kPer, kWidth>(weights, queries, args.qk_dim, dk);
      }
  }
  gradients.dk.store(first_key, rows, int64_t{kv_head} * args.qk_dim, args.qk_dim, one, dk);
  gradients.dv.store(first_key, rows, int64_t{kv_head} * args.v_dim, args.v_dim, one, dv);
}

}  // namespace strata::cuda
