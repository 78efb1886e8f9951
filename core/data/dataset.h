// SPDX-License-Identifier: Apache-2.0
// A part of a corpus cut into training samples of one length.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/data/corpus.h"
#include "core/data/packing.h"

namespace strata {

// The last `valid_fraction` (in [0, 1)) of the tokens for validation, rounded to whole tokens; the rest for
// training.
struct TailSplit {
  TokenRange train, valid;
};
TailSplit split_tail(int64_t num_tokens, double valid_fraction);
// The same, with the border moved on to where a document begins, unless none begins behind it.
TailSplit split_tail_documents(const Corpus& corpus, double valid_fraction);
// The same, and to where a pair of documents begins.
TailSplit split_tail_pairs(const Corpus& corpus, double valid_fraction);

// A sample is what one row of a batch reads. With Packing::best_fit sample i is row i of PackedRows. Else
// sample i reads the tokens [begin + i * seq_len, begin + (i + 1) * seq_len] of its range: seq_len inputs,
// and the last one's target. Neighbouring samples share that one token; datasets over disjoint ranges share
// none. Up to seq_len tokens at the end of the range are in no sample.
class Dataset {
 public:
  struct Desc {
    std::shared_ptr<const Corpus> corpus;
    TokenRange range;
    int64_t seq_len = 0;
    Packing packing = Packing::isolated;
    Overlong overlong = Overlong::cut;   // of Packing::best_fit
    std::string name = "training data";  // for messages
  };
  // Error(data) when the range does not hold one sample.
  explicit Dataset(Desc desc);

  int64_t num_samples() const {
    return packed_ ? packed_->num_rows() : (desc_.range.size() - 1) / desc_.seq_len;
  }
  int64_t num_places() const;  // of all samples that hold a token; the others are padding
  int64_t seq_len() const { return desc_.seq_len; }
  Packing packing() const { return desc_.packing; }
  const PackedRows* packed() const { return packed_.get(); }  // null: rows are cut as the text lies
  const std::string& name() const { return desc_.name; }
  const Corpus& corpus() const { return *desc_.corpus; }
  // First token of sample i, which reads seq_len + 1 from there. Not of Packing::best_fit.
  int64_t sample_begin(int64_t sample) const;

 private:
  Desc desc_;
  std::shared_ptr<const PackedRows> packed_;
};

}  // namespace strata
