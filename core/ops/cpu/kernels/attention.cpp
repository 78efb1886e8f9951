// SPDX-License-Identifier: Apache-2.0
// Attention on tiles of f32, converted as they are read. Any head size; the same bits on every instruction
// set.
#include "core/ops/cpu/kernels/attention_tile.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

using Square = float[kTile * kTile];
using Tall = float[kTile * kAttentionMaxHead];

template <typename T>
void forward_tile(const AttentionHead& head, const AttentionTile& tile) {
  const int d = head.head_dim, width = padded(d), groups = padded(tile.q_count) / kLanes;
  alignas(64) Tall keys, queries_t, out_t;
  alignas(64) Square scores;
  load_tile<T>(head.q, tile.q_begin, tile.q_count, kTile, d, keys);
  transpose(groups * kLanes, d, keys, width, queries_t, kTile);
  __builtin_memset(out_t, 0, sizeof(float) * static_cast<size_t>(d * kTile));
  RunningSoftmax softmax;

  const int visible = num_visible(head, tile);
  for (int begin = 0; begin < visible; begin += kTile) {
    const Keys step = keys_at(head, tile, begin, visible);
    const auto whole_head = [&](int, int) { return Inner{0, d}; };
    const auto all_keys = [&](int, int) { return Inner{0, step.count}; };
    load_tile<T>(head.k, tile.k_begin + begin, step.count, step.count, d, keys);
    tile_product<FloatUnits, false>(step.count, groups * kLanes, whole_head, tile_a(keys, width, 1),
                                    {queries_t, kTile}, {scores, kTile});
    for (int g = 0; g < groups; ++g) softmax.meet(head, tile, step, g, scores, out_t);
    load_tile<T>(head.v, tile.k_begin + begin, step.count, step.count, d, keys);
    tile_product<FloatUnits, true>(d, groups * kLanes, all_keys, tile_a(keys, 1, width), {scores, kTile},
                                   {out_t, kTile});
  }
  write_out(head, tile, groups, softmax, out_t, queries_t);
}

template <typename T>
void backward_tile(const AttentionHead& head, const AttentionTile& tile) {
  const int d = head.head_dim, width = padded(d), groups = padded(tile.q_count) / kLanes;
  alignas(64) Tall queries, queries_t, douts, douts_t, keys, values, dqueries;
  alignas(64) Square weights, dscores;
  load_tile<T>(head.q, tile.q_begin, tile.q_count, kTile, d, queries);
  load_tile<T>(head.dout, tile.q_begin, tile.q_count, kTile, d, douts);
  transpose(groups * kLanes, d, queries, width, queries_t, kTile);
  transpose(groups * kLanes, d, douts, width, douts_t, kTile);
  __builtin_memset(dqueries, 0, sizeof(float) * static_cast<size_t>(kTile * width));
  QueryStatistics statistics;
  statistics.read<T>(head, tile);

  const int visible = num_visible(head, tile);
  for (int begin = 0; begin < visible; begin += kTile) {
    const Keys step = keys_at(head, tile, begin, visible);
    const Causality causality(head, tile, step);
    const auto whole_head = [&](int, int) { return Inner{0, d}; };
    const auto queries_of = [&](int j, int) { return causality.queries_of(j); };
    const auto keys_of = [&](int i, int rows) { return causality.keys_of(i, rows); };
    load_tile<T>(head.k, tile.k_begin + begin, step.count, step.count, d, keys);
    load_tile<T>(head.v, tile.k_begin + begin, step.count, step.count, d, values);
    tile_product<FloatUnits, false>(step.count, groups * kLanes, whole_head, tile_a(keys, width, 1),
                                    {queries_t, kTile}, {weights, kTile});
    tile_product<FloatUnits, false>(step.count, groups * kLanes, whole_head, tile_a(values, width, 1),
                                    {douts_t, kTile}, {dscores, kTile});
    for (int g = 0; g < groups; ++g)
      for (int j = 0; j < step.count; ++j) {
        const auto gradient = statistics.of(head, tile, step, g, j, weights, dscores);
        store(weights + j * kTile + g * kLanes, gradient.weight);
        store(dscores + j * kTile + g * kLanes, gradient.dscore);
      }
    float* const dv = head.dv + (tile.k_begin + begin) * width;
    float* const dk = head.dk + (tile.k_begin + begin) * width;
    tile_product<FloatUnits, true>(step.count, width, queries_of, tile_a(weights, kTile, 1), {douts, width},
                                   {dv, width});
    tile_product<FloatUnits, true>(step.count, width, queries_of, tile_a(dscores, kTile, 1), {queries, width},
                                   {dk, width});
    tile_product<FloatUnits, true>(tile.q_count, width, keys_of, tile_a(dscores, 1, kTile), {keys, width},
                                   {dqueries, width});
  }
  write_rows(head.dq, tile, d, dqueries);
}

void forward(const AttentionHead& head, const AttentionTile& tile) {
  with_type(head.q.dtype, [&]<typename T>(Type<T>) { forward_tile<T>(head, tile); });
}

void backward(const AttentionHead& head, const AttentionTile& tile) {
  with_type(head.q.dtype, [&]<typename T>(Type<T>) { backward_tile<T>(head, tile); });
}

}  // namespace

const AttentionKernels attention_kernels{.forward = forward, .backward = backward};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
