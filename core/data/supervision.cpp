// SPDX-License-Identifier: Apache-2.0
#include "core/data/supervision.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"

namespace strata {

Supervision count_supervision(const Dataset& dataset, Packing packing) {
  Supervision sum;
  const Corpus& corpus = dataset.corpus();
  const int64_t seq_len = dataset.seq_len(), first = dataset.sample_begin(0);
  const int64_t end = first + dataset.num_samples() * seq_len + 1;  // of the tokens that the samples read
  for (int64_t begin = first; begin < end;) {
    const int64_t next = std::min(corpus.next_document(begin), end);
    // No sample predicts the first token of all, and an isolated document's own first token.
    const bool has_context = packing == Packing::concat && begin > first;
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
       .where = dataset.corpus().where(dataset.sample_begin(0)),
       .found = fmt::format("{} documents, {} tokens in {} samples, all left out of the loss",
                            supervision.documents, supervision.tokens, dataset.num_samples()),
       .expected = "at least one token that is learned: of a text, a completion or an assistant's turn",
       .fix = "see what is learned by: strata data show FILE; give it answers to learn, or a larger part of "
              "the data"});
}

}  // namespace strata
