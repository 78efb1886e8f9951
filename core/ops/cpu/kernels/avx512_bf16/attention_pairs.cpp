// SPDX-License-Identifier: Apache-2.0
// Attention of bf16 on the dot product of pairs (vdpbf16ps), twice the rate of f32. A unit is a pair of bf16
// that are neighbours along the inner index: rows of keys, values and weights hold such pairs as they lie;
// where the inner index runs down the rows, two rows are interleaved. Weights and score gradients are rounded
// to bf16 before the products they enter; sums and the softmax stay in f32. Denormal operands count as zero
// (see matmul.cpp).
#include <immintrin.h>

#include "core/ops/cpu/kernels/attention_tile.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

constexpr int kPairs = kTile / 2;
using SquarePairs = uint32_t[kPairs * kTile];
using TallPairs = uint32_t[kPairs * kAttentionMaxHead];  // [kPairs, head_dim] or [head_dim / 2, kTile]

struct PairUnits {
  STRATA_ALWAYS_INLINE static NativeF add_product(NativeF total, NativeF left, NativeF right) {
    return _mm512_dpbf16_ps(total, (__m512bh)left, (__m512bh)right);
  }
};

STRATA_ALWAYS_INLINE const bf16* row_of(MatrixRef x, int64_t i) { return x.row<bf16>(i); }
STRATA_ALWAYS_INLINE int num_pairs(int count) { return (count + 1) / 2; }
STRATA_ALWAYS_INLINE Inner in_pairs(Inner inner) { return {inner.begin / 2, num_pairs(inner.end)}; }

// Pairs (low[i], high[i]) of sixteen lanes each.
STRATA_ALWAYS_INLINE UintVec pair_up(const UintVec& low, const UintVec& high) { return low | (high << 16); }
STRATA_ALWAYS_INLINE UintVec load_codes(const bf16* p) { return bits_as<NativeU>(load(p)) >> 16; }
STRATA_ALWAYS_INLINE void store_units(uint32_t* p, const UintVec& x) { __builtin_memcpy(p, &x, sizeof(x)); }

// to[p][c] = (row 2p, row 2p + 1) of column c; a missing last row counts as zero. head_dim is a multiple of
// sixteen.
STRATA_ALWAYS_INLINE void interleave_rows(MatrixRef from, int64_t first, int rows, int columns,
                                          uint32_t* to) {
  for (int p = 0; p < num_pairs(rows); ++p) {
    const bf16* low = row_of(from, first + 2 * p);
    const bf16* high = 2 * p + 1 < rows ? row_of(from, first + 2 * p + 1) : nullptr;
    for (int c = 0; c < columns; c += kLanes)
      store_units(to + p * columns + c,
                  pair_up(load_codes(low + c), high ? load_codes(high + c) : UintVec{}));
  }
}

// to[p][i] = (column 2p, column 2p + 1) of row i; rows from `rows` to a multiple of sixteen are zero.
STRATA_ALWAYS_INLINE void transpose_pairs(MatrixRef from, int64_t first, int rows, int columns,
                                          uint32_t* to) {
  alignas(64) TallPairs units;
  const int width = columns / 2, all_rows = padded(rows);
  for (int i = 0; i < rows; ++i)
    __builtin_memcpy(units + i * width, row_of(from, first + i),
                     sizeof(uint32_t) * static_cast<size_t>(width));
  __builtin_memset(units + rows * width, 0,
                   sizeof(uint32_t) * static_cast<size_t>((all_rows - rows) * width));
  transpose(all_rows, width, units, width, to, kTile);
}

// Rows of keys or values as they lie.
STRATA_ALWAYS_INLINE TileA rows_in_place(MatrixRef x, int64_t first) {
  return tile_a(row_of(x, first), x.stride, 2);
}

void forward(const AttentionHead& head, const AttentionTile& tile) {
  const int d = head.head_dim, groups = padded(tile.q_count) / kLanes, lanes = groups * kLanes;
  alignas(64) TallPairs queries_t, values;
  alignas(64) SquarePairs weights;
  alignas(64) float scores[kTile * kTile];
  alignas(64) float out_t[kTile * kAttentionMaxHead], rows[kTile * kAttentionMaxHead];
  transpose_pairs(head.q, tile.q_begin, tile.q_count, d, queries_t);
  __builtin_memset(out_t, 0, sizeof(float) * static_cast<size_t>(d * kTile));
  RunningSoftmax softmax;

  const int visible = num_visible(head, tile);
  for (int begin = 0; begin < visible; begin += kTile) {
    const Keys step = keys_at(head, tile, begin, visible);
    const auto whole_head = [&](int, int) { return Inner{0, d / 2}; };
    const auto all_keys = [&](int, int) { return Inner{0, num_pairs(step.count)}; };
    tile_product<PairUnits, false>(step.count, lanes, whole_head, rows_in_place(head.k, tile.k_begin + begin),
                                   {queries_t, kTile}, {scores, kTile});
    for (int g = 0; g < groups; ++g) {
      softmax.meet(head, tile, step, g, scores, out_t);
      for (int j = 0; j < step.count; j += 2) {
        const float* p = scores + j * kTile + g * kLanes;
        const Vec next = j + 1 < step.count ? load(p + kTile) : zero();
        store_units(weights + j / 2 * kTile + g * kLanes,
                    pair_up(round_to_bf16(load(p)), round_to_bf16(next)));
      }
    }
    interleave_rows(head.v, tile.k_begin + begin, step.count, d, values);
    tile_product<PairUnits, true>(d, lanes, all_keys, tile_a(values, 1, d), {weights, kTile}, {out_t, kTile});
  }
  write_out(head, tile, groups, softmax, out_t, rows);
}

void backward(const AttentionHead& head, const AttentionTile& tile) {
  const int d = head.head_dim, groups = padded(tile.q_count) / kLanes, lanes = groups * kLanes;
  alignas(64) TallPairs queries, queries_t, douts, douts_t, keys;
  alignas(64) bf16 weights[kTile * kTile], dscores[kTile * kTile];  // [keys, queries]
  alignas(64) SquarePairs dscore_pairs;                             // pairs of keys
  alignas(64) float scores[kTile * kTile], dweights[kTile * kTile];
  alignas(64) float dqueries[kTile * kAttentionMaxHead];
  transpose_pairs(head.q, tile.q_begin, tile.q_count, d, queries_t);
  transpose_pairs(head.dout, tile.q_begin, tile.q_count, d, douts_t);
  interleave_rows(head.q, tile.q_begin, tile.q_count, d, queries);
  interleave_rows(head.dout, tile.q_begin, tile.q_count, d, douts);
  __builtin_memset(dqueries, 0, sizeof(float) * static_cast<size_t>(kTile * d));
  QueryStatistics statistics;
  statistics.read<bf16>(head, tile);

  const int visible = num_visible(head, tile);
  for (int begin = 0; begin < visible; begin += kTile) {
    const Keys step = keys_at(head, tile, begin, visible);
    const Causality causality(head, tile, step);
    const auto whole_head = [&](int, int) { return Inner{0, d / 2}; };
    const auto queries_of = [&](int j, int) { return in_pairs(causality.queries_of(j)); };
    const auto keys_of = [&](int i, int rows) { return in_pairs(causality.keys_of(i, rows)); };
    const int64_t first = tile.k_begin + begin;
    tile_product<PairUnits, false>(step.count, lanes, whole_head, rows_in_place(head.k, first),
                                   {queries_t, kTile}, {scores, kTile});
    tile_product<PairUnits, false>(step.count, lanes, whole_head, rows_in_place(head.v, first),
                                   {douts_t, kTile}, {dweights, kTile});
    for (int g = 0; g < groups; ++g)
      for (int j = 0; j < step.count; j += 2) {
        UintVec pair[2] = {};
        for (int k = 0; k < 2 && j + k < step.count; ++k) {
          const int at = (j + k) * kTile + g * kLanes;
          const auto gradient = statistics.of(head, tile, step, g, j + k, scores, dweights);
          store(weights + at, gradient.weight);
          store(dscores + at, gradient.dscore);
          pair[k] = load_codes(dscores + at);
        }
        store_units(dscore_pairs + j / 2 * kTile + g * kLanes, pair_up(pair[0], pair[1]));
      }
    interleave_rows(head.k, first, step.count, d, keys);
    tile_product<PairUnits, true>(step.count, d, queries_of, tile_a(weights, kTile, 2), {douts, d},
                                  {head.dv + first * d, d});
    tile_product<PairUnits, true>(step.count, d, queries_of, tile_a(dscores, kTile, 2), {queries, d},
                                  {head.dk + first * d, d});
    tile_product<PairUnits, true>(tile.q_count, d, keys_of, tile_a(dscore_pairs, 1, kTile), {keys, d},
                                  {dqueries, d});
  }
  write_rows(head.dq, tile, d, dqueries);
}

}  // namespace

const AttentionKernels attention_pair_kernels{.forward = forward, .backward = backward};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
