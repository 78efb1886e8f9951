// SPDX-License-Identifier: Apache-2.0
#include "core/data/supervision.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/base/error.h"

namespace strata {

namespace {

Supervision count_packed(const Dataset& dataset) {
  const PackedRows& rows = *dataset.packed();
  const Corpus& corpus = dataset.corpus();
  std::vector<TokenRange> pieces;
  for (int64_t row = 0; row < rows.num_rows(); ++row)
    pieces.insert(pieces.end(), rows.row(row).begin(), rows.row(row).end());
  std::sort(pieces.begin(), pieces.end(),
            [](const TokenRange& a, const TokenRange& b) { return a.begin < b.begin; });
  Supervision sum;
  for (size_t i = 0; i < pieces.size();) {
    // The pieces of one document follow one another without a gap; those of two never do, because a
    // document's last token is no input.
    int64_t learned = 0;
    bool cut = false;
    const size_t first = i;
    do {
      const int64_t here = corpus.count_learned(pieces[i].begin + 1, pieces[i].end + 1);
      sum.tokens += pieces[i].size();
      learned += here;
      cut |= i > first && here > 0;
      ++i;
    } while (i < pieces.size() && pieces[i].begin == pieces[i - 1].end);
    sum.learned += learned;
    ++sum.documents;
    sum.unlearned += learned == 0;
    sum.cut += cut;
  }
  return sum;
}

}  // namespace

Supervision count_supervision(const Dataset& dataset) {
  if (dataset.packed()) return count_packed(dataset);
  Supervision sum;
  const Corpus& corpus = dataset.corpus();
  const int64_t seq_len = dataset.seq_len(), first = dataset.sample_begin(0);
  const int64_t end = first + dataset.num_samples() * seq_len + 1;  // of the tokens that the samples read
  for (int64_t begin = first; begin < end;) {
    const int64_t next = std::min(corpus.next_document(begin), end);
    // No sample predicts the first token of all, and an isolated document's own first token.
    const bool has_context = dataset.packing() == Packing::concat && begin > first;
    const int64_t target = has_context ? begin : begin + 1;
    if (target < next) {
      const int64_t learned = corpus.count_learned(target, next);
      // The sample of a target is that of the token before it.
      const int64_t next_sample = first + ((target - 1 - first) / seq_len + 1) * seq_len + 1;
      sum.tokens += next - target;
      sum.learned += learned;
      ++sum.documents;
      sum.unlearned += learned == 0;
      sum.cut += next_sample < next && corpus.count_learned(next_sample, next) > 0;
    }
    begin = next;
  }
  return sum;
}

void require_supervision(const Supervision& supervision, const Dataset& dataset) {
  if (supervision.learned > 0) return;
  throw Error(
      Fault::data,
      {.what = fmt::format("nothing would be learned from the {}", dataset.name()),
       .where = dataset.corpus().where(dataset.packed() ? dataset.packed()->row(0)[0].begin
                                                        : dataset.sample_begin(0)),
       .found = fmt::format("{} documents, {} tokens in {} samples, all left out of the loss",
                            supervision.documents, supervision.tokens, dataset.num_samples()),
       .expected = "at least one token that is learned: of a text, a completion or an assistant's turn",
       .fix = "see what is learned by: strata data show FILE; give it answers to learn, or a larger part of "
              "the data"});
}

}  // namespace strata
