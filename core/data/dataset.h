// SPDX-License-Identifier: Apache-2.0
// A part of a corpus cut into training samples of one length.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/data/corpus.h"

namespace strata {

struct TokenRange {
  int64_t begin = 0, end = 0;  // [begin, end)
  int64_t size() const { return end - begin; }
  friend bool operator==(const TokenRange&, const TokenRange&) = default;
};

// The last `valid_fraction` (in [0, 1)) of the tokens for validation, rounded to whole tokens; the rest for
// training.
struct TailSplit {
  TokenRange train, valid;
};
TailSplit split_tail(int64_t num_tokens, double valid_fraction);

// Sample i reads the tokens [begin + i * seq_len, begin + (i + 1) * seq_len] of its range: seq_len inputs,
// and the last one's target. Neighbouring samples share that one token; datasets over disjoint ranges share
// none. Up to seq_len tokens at the end of the range are in no sample.
class Dataset {
 public:
  struct Desc {
    std::shared_ptr<const Corpus> corpus;
    TokenRange range;
    int64_t seq_len = 0;
    std::string name = "training data";  // for messages
  };
  // Error(data) when the range does not hold one sample.
  explicit Dataset(Desc desc);

  int64_t num_samples() const { return (desc_.range.size() - 1) / desc_.seq_len; }
  int64_t seq_len() const { return desc_.seq_len; }
  const std::string& name() const { return desc_.name; }
  const Corpus& corpus() const { return *desc_.corpus; }
  // First token of sample i; it reads seq_len + 1.
  int64_t sample_begin(int64_t sample) const;

 private:
  Desc desc_;
};

// Error(data) with numbers and the fix when an optimizer step takes more tokens than one epoch has.
void require_step_fits(const Dataset& dataset, int64_t tokens_per_step);

}  // namespace strata
