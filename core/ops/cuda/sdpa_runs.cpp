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

int64_t sdpa_backward_workspace(int64_t heads, const SdpaRun& run, int64_t qk_dim, int64_t v_dim) {
  // Scores in whole tiles and the gradients of a query head's keys and values, bf16; an f32 sum a query; what
  // engines keep beside.
  constexpr int64_t kSmall = 64 << 10;
  const int64_t scores = round_up(run.q_length, kTile) * round_up(run.kv_length, kTile);
  return heads * run.batch * ((scores + run.kv_length * (qk_dim + v_dim)) * 2 + run.q_length * 4) + kSmall;
}

SdpaRun sdpa_longest_run(int64_t queries, int64_t keys) {
  return {0, 1, 1, length_class(queries), length_class(keys), true};
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
  const auto fits = [&](const SdpaRun& run) {
    return run.batch * run.q_length <= limits.q_rows && run.batch * run.kv_length <= limits.kv_rows &&
           sdpa_backward_workspace(limits.heads, run, limits.qk_dim, limits.v_dim) <= limits.bytes;
  };
  const AttentionSegment& first = sequences.front();
  const bool alike = std::all_of(sequences.begin(), sequences.end(), [&](const AttentionSegment& s) {
    return s.q_count == first.q_count && s.k_count == first.k_count;
  });
  std::vector<SdpaRun> runs;
  // A sequence of one token is no tile's work: the library leaves some of those out.
  if (alike && first.q_count > 1 && first.k_count > 1) {
    const size_t all = sequences.size();
    size_t parts = 1;  // of as many sequences each
    const auto part = [&] {
      return SdpaRun{0, all / parts, static_cast<int64_t>(all / parts), first.q_count, first.k_count, false};
    };
    while (parts < all && (all % parts != 0 || !fits(part()))) ++parts;
    if (!fits(part())) return {};
    for (size_t i = 0; i < parts; ++i) {
      runs.push_back(part());
      runs.back().first = i * (all / parts);
    }
    return runs;
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    const SdpaRun alone{i,   1, 1, length_class(sequences[i].q_count), length_class(sequences[i].k_count),
                        true};
    if (!runs.empty()) {
      SdpaRun grown = runs.back();
      ++grown.count;
      grown.batch = batch_class(grown.count);
      grown.q_length = std::max(grown.q_length, alone.q_length);
      grown.kv_length = std::max(grown.kv_length, alone.kv_length);
      if (fits(grown)) {
        runs.back() = grown;
        continue;
      }
    }
    if (!fits(alone)) return {};
    runs.push_back(alone);
  }
  return runs;
}

}  // namespace strata::cuda
