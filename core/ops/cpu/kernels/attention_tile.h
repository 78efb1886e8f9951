// SPDX-License-Identifier: Apache-2.0
// What the attention kernels share: which keys a tile of queries meets, and the softmax.
//
// Lanes are queries: scores are kept as S^T [keys, queries], so that the softmax of a query runs down a lane
// without any sum across lanes, and keys and values are read as they lie. A tile of queries is transposed
// once and then meets all its keys, 64 at a time (Dao 2023, algorithms 1 and 2).
//   forward:   S^T = K Q^T         P = exp(S - max)    O^T = V^T P^T
//   backward:  P = exp(S - lse)    dP^T = V dO^T       dS = P (dP - rowsum(dO O))
//              dV += P^T dO        dK += dS^T Q        dQ += dS K
#pragma once

#include "core/ops/cpu/kernels/attention_kernels.h"
#include "core/ops/cpu/kernels/tile_product.h"
#include "core/ops/cpu/vec_math.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {

inline constexpr int kTile = kAttentionTile;
inline constexpr int kGroups = kTile / kLanes;  // vectors of queries
inline constexpr float kInf = __builtin_inff();

STRATA_ALWAYS_INLINE int smaller(int64_t a, int64_t b) { return static_cast<int>(a < b ? a : b); }
STRATA_ALWAYS_INLINE int padded(int head_dim) { return (head_dim + kLanes - 1) / kLanes * kLanes; }

// Rows [first, first + rows) as f32, zero up to `all_rows` rows and to a multiple of sixteen columns.
template <typename T>
STRATA_ALWAYS_INLINE void load_tile(MatrixRef from, int64_t first, int rows, int all_rows, int columns,
                                    float* to) {
  const int width = padded(columns);
  for (int r = 0; r < rows; ++r) {
    const T* row = from.row<T>(first + r);
    for_lanes(columns, [&](int64_t i, auto lanes) { store(to + r * width + i, load(row + i, lanes)); });
  }
  __builtin_memset(to + rows * width, 0, sizeof(float) * static_cast<size_t>((all_rows - rows) * width));
}

// The tile's rows of `to`, from rows [kTile, padded(columns)].
STRATA_ALWAYS_INLINE void write_rows(MatrixRef to, const AttentionTile& tile, int columns,
                                     const float* rows) {
  const int width = padded(columns);
  with_type(to.dtype, [&]<typename T>(Type<T>) {
    for (int i = 0; i < tile.q_count; ++i) {
      T* row = to.row<T>(tile.q_begin + i);
      for_lanes(columns, [&](int64_t c, auto lanes) { store(row + c, load(rows + i * width + c), lanes); });
    }
  });
}

// The keys of one step of the loop over key tiles: `count` from offset `begin` of the tile's keys.
struct Keys {
  int begin, count;
  bool partial;  // some query of the tile does not see some key of these
};
STRATA_ALWAYS_INLINE int num_visible(const AttentionHead& head, const AttentionTile& tile) {
  if (!head.causal) return tile.k_count;
  const int64_t last = tile.q_count + tile.diagonal;  // keys the last query sees
  return last < 0 ? 0 : smaller(last, tile.k_count);
}
STRATA_ALWAYS_INLINE Keys keys_at(const AttentionHead& head, const AttentionTile& tile, int begin,
                                  int visible) {
  const int count = smaller(kTile, visible - begin);
  return {begin, count, head.causal && begin + count - 1 > tile.diagonal};
}
// Lanes [16 * group, ...) of the queries that see key j.
STRATA_ALWAYS_INLINE MaskVec seen(const AttentionTile& tile, int group, int j) {
  // j <= i + diagonal; the difference is clamped so that it fits in an int.
  int64_t first = j - tile.diagonal;
  first = first < 0 ? 0 : first > kTile ? kTile : first;
  return lane_index() >= broadcast_int(static_cast<int>(first) - group * kLanes);
}

// The softmax of the queries of a tile over the keys met so far (forward).
struct RunningSoftmax {
  Vec highest[kGroups], total[kGroups];

  STRATA_ALWAYS_INLINE RunningSoftmax() {
    for (int g = 0; g < kGroups; ++g) {
      highest[g] = broadcast(-kInf);
      total[g] = zero();
    }
  }

  // Meets the keys of `step`: scales and masks their scores [keys, kTile] in group g of the queries, shrinks
  // what was summed before (out_t [head_dim, kTile]) to the new maximum, and leaves the weights where the
  // scores were.
  STRATA_ALWAYS_INLINE void meet(const AttentionHead& head, const AttentionTile& tile, Keys step, int g,
                                 float* scores, float* out_t) {
    const Vec scale = broadcast(head.scale);
    Vec top = highest[g];
    for (int j = 0; j < step.count; ++j) {
      float* s = scores + j * kTile + g * kLanes;
      Vec v = load(s) * scale;
      if (step.partial) v = select(seen(tile, g, step.begin + j), v, broadcast(-kInf));
      store(s, v);
      top = max(v, top);
    }
    // While a query has seen no key, both maxima are -inf and every weight is 0.
    const Vec base = select(top == broadcast(-kInf), zero(), top);
    const Vec shrink = exp(highest[g] - base);
    Vec added = zero();
    for (int j = 0; j < step.count; ++j) {
      float* s = scores + j * kTile + g * kLanes;
      const Vec p = exp(load(s) - base);
      store(s, p);
      added += p;
    }
    total[g] = total[g] * shrink + added;
    highest[g] = top;
    scale_group(head.head_dim, g, shrink, out_t);
  }

  // Divides the sums in out_t by the weights' total and gives the queries' log-sum-exp.
  STRATA_ALWAYS_INLINE Vec finish(const AttentionHead& head, int g, float* out_t) const {
    const MaskVec empty = total[g] == zero();
    scale_group(head.head_dim, g, select(empty, zero(), broadcast(1.0f) / total[g]), out_t);
    return select(empty, broadcast(-kInf), highest[g] + log(total[g]));
  }

 private:
  STRATA_ALWAYS_INLINE static void scale_group(int head_dim, int g, const Vec& factor, float* out_t) {
    for (int c = 0; c < head_dim; ++c) {
      float* o = out_t + c * kTile + g * kLanes;
      store(o, load(o) * factor);
    }
  }
};

// Finishes a tile of the forward pass: out_t becomes rows of `out` by way of `rows` [kTile,
// padded(head_dim)].
STRATA_ALWAYS_INLINE void write_out(const AttentionHead& head, const AttentionTile& tile, int groups,
                                    const RunningSoftmax& softmax, float* out_t, float* rows) {
  const int d = head.head_dim, width = padded(d);
  alignas(64) float lse[kTile];
  for (int g = 0; g < groups; ++g) store(lse + g * kLanes, softmax.finish(head, g, out_t));
  __builtin_memcpy(head.lse + tile.q_begin, lse, sizeof(float) * static_cast<size_t>(tile.q_count));
  transpose(d, groups * kLanes, out_t, kTile, rows, width);
  write_rows(head.out, tile, d, rows);
}

// What the backward pass needs of each query beside its rows.
struct QueryStatistics {
  alignas(64) float lse[kTile];
  alignas(64) float delta[kTile];  // sum of dout * out

  template <typename T>
  STRATA_ALWAYS_INLINE void read(const AttentionHead& head, const AttentionTile& tile) {
    for (int i = 0; i < kTile; ++i) {
      // +inf makes every weight 0: lanes beyond the tile, and queries that saw no key.
      lse[i] = i < tile.q_count ? head.lse[tile.q_begin + i] : kInf;
      if (lse[i] == -kInf) lse[i] = kInf;
      delta[i] = 0;
      if (i >= tile.q_count) continue;
      const T* out = head.out.row<T>(tile.q_begin + i);
      const T* dout = head.dout.row<T>(tile.q_begin + i);
      Vec total = zero();
      for_lanes(head.head_dim,
                [&](int64_t c, auto lanes) { total += load(out + c, lanes) * load(dout + c, lanes); });
      delta[i] = sum(total);
    }
  }

  // Weight and gradient of the score of key j (of `step`) in group g, from q.k and dout.v.
  struct Gradient {
    Vec weight, dscore;
  };
  STRATA_ALWAYS_INLINE Gradient of(const AttentionHead& head, const AttentionTile& tile, Keys step, int g,
                                   int j, const float* scores, const float* dweights) const {
    const Vec scale = broadcast(head.scale);
    Vec p = exp(load(scores + j * kTile + g * kLanes) * scale - load(lse + g * kLanes));
    if (step.partial) p = select(seen(tile, g, step.begin + j), p, zero());
    return {p, p * (load(dweights + j * kTile + g * kLanes) - load(delta + g * kLanes)) * scale};
  }
};

// Key j of a step meets the queries from j - diagonal on; query i the keys up to i + diagonal. What lies
// outside has weight 0, so a range may be too long.
struct Causality {
  int num_queries, num_keys;
  int64_t offset;  // of the step's first key against the diagonal

  STRATA_ALWAYS_INLINE Causality(const AttentionHead& head, const AttentionTile& tile, Keys step)
      : num_queries(tile.q_count),
        num_keys(step.count),
        offset(head.causal ? step.begin - tile.diagonal : -kTile) {}
  STRATA_ALWAYS_INLINE Inner queries_of(int j) const {
    return {j + offset < 0 ? 0 : smaller(j + offset, num_queries), num_queries};
  }
  STRATA_ALWAYS_INLINE Inner keys_of(int i, int rows) const {
    const int64_t end = i + rows - offset;
    return {0, end < 0 ? 0 : smaller(end, num_keys)};
  }
};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
