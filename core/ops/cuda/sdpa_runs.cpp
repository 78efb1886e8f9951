// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/sdpa_runs.h"

#include <algorithm>
#include <bit>

#include "core/base/check.h"

namespace strata::cuda {
namespace {

constexpr int64_t kTile = 128;  // of the library's kernels

// One of few lengths, at least `length` and at most a quarter (or a tile) more.
int64_t length_class(int64_t length) {
  const auto power =
      static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(length, 1))));
  return round_up(length, std::max(kTile, power / 4));
}
int64_t batch_class(size_t count) { return static_cast<int64_t>(std::bit_ceil(count)); }

}  // namespace

int64_t sdpa_scores(int64_t batch, int64_t q_length, int64_t kv_length) {
  return batch * round_up(q_length, kTile) * round_up(kv_length, kTile);
}

SdpaLimits sdpa_limits(int64_t queries, int64_t keys) {
  const int64_t q = length_class(queries), kv = length_class(keys);
  return {2 * q, 2 * kv, sdpa_scores(1, q, kv)};
}

std::vector<AttentionSegment> sdpa_sequences(std::span<const AttentionSegment> segments, bool causal,
                                             int64_t queries, int64_t keys) {
  std::vector<AttentionSegment> sorted(segments.begin(), segments.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.q_begin < b.q_begin; });
  int64_t q_end = 0, k_end = 0;
  for (const AttentionSegment& s : sorted) {
    const bool known_mask = !causal || s.diagonal == 0;
    if (!known_mask || s.q_count == 0 || s.k_count == 0 || s.q_begin != q_end || s.k_begin != k_end)
      return {};
    q_end += s.q_count;
    k_end += s.k_count;
  }
  return q_end == queries && k_end == keys ? sorted : std::vector<AttentionSegment>();
}

std::vector<SdpaRun> sdpa_runs(std::span<const AttentionSegment> sequences, const SdpaLimits& limits) {
  if (sequences.empty()) return {};
  const AttentionSegment& first = sequences.front();
  const bool alike = std::all_of(sequences.begin(), sequences.end(), [&](const AttentionSegment& s) {
    return s.q_count == first.q_count && s.k_count == first.k_count;
  });
  const auto batch = static_cast<int64_t>(sequences.size());
  // A sequence of one token is no tile's work: the library leaves some of those out.
  if (alike && first.q_count > 1 && first.k_count > 1 &&
      sdpa_scores(batch, first.q_count, first.k_count) <= limits.scores)
    return {{0, sequences.size(), batch, first.q_count, first.k_count, false}};

  std::vector<SdpaRun> runs;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const int64_t q = length_class(sequences[i].q_count), kv = length_class(sequences[i].k_count);
    if (!runs.empty()) {
      SdpaRun grown = runs.back();
      ++grown.count;
      grown.batch = batch_class(grown.count);
      grown.q_length = std::max(grown.q_length, q);
      grown.kv_length = std::max(grown.kv_length, kv);
      if (grown.batch * grown.q_length <= limits.q_rows && grown.batch * grown.kv_length <= limits.kv_rows &&
          sdpa_scores(grown.batch, grown.q_length, grown.kv_length) <= limits.scores) {
        runs.back() = grown;
        continue;
      }
    }
    runs.push_back({i, 1, 1, q, kv, true});
  }
  return runs;
}

int64_t sdpa_backward_workspace(int64_t heads, const SdpaLimits& limits, int64_t qk_dim, int64_t v_dim) {
  // bf16 scores and gradients of the keys and values of query heads, an f32 sum a query; what engines keep
  // beside.
  constexpr int64_t kSmall = 64 << 10;
  return heads * ((limits.scores + limits.kv_rows * (qk_dim + v_dim)) * 2 + limits.q_rows * 4) + kSmall;
}

}  // namespace strata::cuda
