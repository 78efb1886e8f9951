// SPDX-License-Identifier: Apache-2.0
#include "parallel/boundaries/context_batch.h"

#include <algorithm>
#include <array>

#include "core/base/check.h"
#include "parallel/boundaries/kv_ring.h"

namespace strata {
namespace {

// Tokens [begin, end) of the whole batch.
struct Range {
  int64_t begin = 0, end = 0;
  int64_t count() const { return std::max<int64_t>(end - begin, 0); }
};
Range common(Range a, Range b) { return {std::max(a.begin, b.begin), std::min(a.end, b.end)}; }

class ContextCut {
 public:
  ContextCut(const Batch& batch, int parts)
      : batch_(batch), parts_(parts), chunk_(div_exact(batch.seq_len, int64_t{2} * parts)) {}

  // The chunks that make the piece of rank `part`, in order.
  std::array<int, 2> chunks(int part) const { return {part, 2 * parts_ - 1 - part}; }
  Range tokens(int64_t row, int chunk) const {
    const int64_t begin = row * batch_.seq_len + chunk * chunk_;
    return {begin, begin + chunk_};
  }
  // Where token 0 of the `half`-th chunk of a row lies in a piece.
  int64_t place(int64_t row, int half) const { return (2 * row + half) * chunk_; }

  // What the queries of rank `part` see of the keys of rank `other`: one segment per document and chunk of
  // queries.
  std::vector<AttentionSegment> segments(int part, int other) const {
    std::vector<AttentionSegment> all;
    size_t document = 0;
    for (int64_t row = 0; row < batch_.rows; ++row)
      for (int half = 0; half < 2; ++half) {
        const int chunk = chunks(part)[static_cast<size_t>(half)];
        const Range queries = tokens(row, chunk);
        for (document = document_of(queries.begin);; ++document) {
          const Range whole{batch_.segment_begin[document], batch_.segment_begin[document + 1]};
          const Range piece = common(whole, queries);
          AttentionSegment segment = keys_of(row, chunk, piece, whole, other);
          segment.q_begin = narrow<int32_t>(place(row, half) + piece.begin - queries.begin);
          segment.q_count = narrow<int32_t>(piece.count());
          all.push_back(segment);
          if (whole.end >= queries.end) break;
        }
      }
    return all;
  }

 private:
  size_t document_of(int64_t token) const {
    const auto& begins = batch_.segment_begin;
    return static_cast<size_t>(std::upper_bound(begins.begin(), begins.end(), token) - begins.begin()) - 1;
  }

  // A document that has keys in both chunks of a piece has all that lies between them, the end of the first
  // and the beginning of the second: in the piece these touch, and make one range.
  AttentionSegment keys_of(int64_t row, int chunk, Range queries, Range document, int other) const {
    AttentionSegment segment;
    int64_t count = 0;
    for (int half = 0; half < 2; ++half) {
      const int key_chunk = chunks(other)[static_cast<size_t>(half)];
      const Range keys = common(document, tokens(row, key_chunk));
      if (key_chunk > chunk || keys.count() == 0) continue;
      if (count == 0)
        segment.k_begin = narrow<int32_t>(place(row, half) + keys.begin - tokens(row, key_chunk).begin);
      // A query sees the keys up to itself: of earlier chunks, all.
      segment.diagonal = narrow<int32_t>(count + queries.begin - keys.begin);
      count += keys.count();
    }
    segment.k_count = narrow<int32_t>(count);
    return segment;
  }

  const Batch& batch_;
  int parts_;
  int64_t chunk_;
};

// Tokens [range.begin, range.end) of the whole, behind those that `to` has.
void append_runs(const std::vector<TokenRun>& from, Range range, std::vector<TokenRun>& to) {
  int64_t place = to.empty() ? 0 : to.back().begin + to.back().count;
  for (const TokenRun& run : from) {
    const Range part = common({run.begin, run.begin + run.count}, range);
    if (part.count() == 0) continue;
    to.push_back({.begin = place, .count = part.count(), .first = run.first + part.begin - run.begin});
    place += part.count();
  }
}

}  // namespace

int64_t context_token(int64_t token, int64_t seq_len, int parts, int part) {
  if (parts == 1) return token;
  const int64_t chunk = div_exact(seq_len, int64_t{2} * parts), row = token / (2 * chunk),
                first = token % (2 * chunk) / chunk == 0 ? part : 2 * parts - 1 - part;
  return row * seq_len + first * chunk + token % chunk;
}

Batch context_part(const Batch& batch, int parts, int part) {
  if (parts == 1) return batch;
  check(part >= 0 && part < parts, "[context] part {} of {}", part, parts);
  check(batch.seq_len % (2 * parts) == 0, "[context] rows of {} tokens do not divide into {} chunks",
        batch.seq_len, 2 * parts);
  const ContextCut cut(batch, parts);
  Batch result{.rows = batch.rows, .seq_len = batch.seq_len / parts};
  for (int64_t row = 0; row < batch.rows; ++row)
    for (const int chunk : cut.chunks(part)) {
      const Range range = cut.tokens(row, chunk);
      auto append = [&](const std::vector<int32_t>& from, std::vector<int32_t>& to) {
        to.insert(to.end(), from.begin() + range.begin, from.begin() + range.end);
      };
      append(batch.tokens, result.tokens);
      append(batch.targets, result.targets);
      append(batch.positions, result.positions);
      append_runs(batch.runs, range, result.runs);
    }
  result.num_targets =
      std::ranges::count_if(result.targets, [](int32_t target) { return target != kNoTarget; });
  for (int visit = 0; visit < parts; ++visit)
    result.visits.push_back(cut.segments(part, visiting_piece(part, parts, visit)));
  return result;
}

}  // namespace strata
