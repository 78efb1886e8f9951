// SPDX-License-Identifier: Apache-2.0
// From a position in the run to the micro-batch that is trained there.
//
// The cursor of a run is one number: how many samples it has consumed. Epoch e is the cursors [e * n, (e + 1)
// * n), a shuffle of its own over the n samples; a step may begin in one epoch and end in the next. Of
// several data sets each has its share of the cursors (core/data/mixture.h) and epochs of its own. Cursor,
// seed and data decide everything, so seeking costs nothing and does not depend on the number of ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/mixture.h"
#include "core/nn/batch.h"

namespace strata {

enum class SampleOrder { shuffled, sequential };  // sequential: for evaluation

// Which samples an optimizer step takes: micro_batches times rows, numbered along the cursor. The caller
// decides which rank computes which micro-batch.
struct StepShape {
  int64_t rows = 0;           // of one micro-batch
  int64_t micro_batches = 0;  // of the whole step, over all ranks

  int64_t samples() const { return rows * micro_batches; }
  // Cursor of the first row of a micro-batch, in the step that begins at `step_cursor`; its rows follow one
  // another.
  int64_t cursor(int64_t step_cursor, int64_t micro_batch) const { return step_cursor + micro_batch * rows; }
};

// Immutable: safe to use from several threads.
class DataSource {
 public:
  struct Options {
    uint64_t seed = 0;
    SampleOrder order = SampleOrder::shuffled;
    int64_t vocab_size = 0;            // tokens beyond it are Error(data)
    std::vector<double> weights = {};  // of several data sets, shuffled: their shares (see Mixture)
    // Of one data set of pairs: log-probabilities of both responses of every sample, by a reference model.
    // Null: batches say nothing of pairs.
    std::shared_ptr<const std::vector<float>> reference = nullptr;
  };
  DataSource(std::shared_ptr<const Dataset> dataset, Options options);
  // Sequential order is the first set's samples, then the second's. All have one seq_len.
  DataSource(std::vector<std::shared_ptr<const Dataset>> datasets, Options options);

  const std::vector<std::shared_ptr<const Dataset>>& datasets() const { return datasets_; }
  int64_t num_samples() const { return first_sample_.back(); }  // of all sets
  int64_t seq_len() const { return datasets_[0]->seq_len(); }

  struct Sample {
    size_t part = 0;    // of datasets()
    int64_t index = 0;  // in it
    int64_t epoch = 0;  // of the part
  };
  Sample sample_of(int64_t cursor) const;

  // Fills `batch` with the samples at [cursor, cursor + rows). Memory the batch already holds is used again.
  // Where one document ends and the next begins a segment ends, its last token has no target and positions
  // begin anew; Packing::concat has one segment a row. Padding is token 0 in a segment of its own, without
  // targets.
  void fill(int64_t cursor, int64_t rows, Batch& batch) const;

 private:
  void fill_packed_row(const Dataset& dataset, int64_t sample, int64_t begin, Batch& batch) const;
  void fill_row(const Dataset& dataset, int64_t sample, int64_t begin, Batch& batch) const;
  void add_pair(const Dataset& dataset, int64_t sample, int64_t begin, Batch& batch) const;
  void copy_tokens(const Corpus& corpus, TokenRange inputs, int64_t begin, Batch& batch) const;
  void require_known(const Corpus& corpus, int64_t first_token, std::span<const int32_t> tokens) const;

  std::vector<std::shared_ptr<const Dataset>> datasets_;
  std::vector<int64_t> first_sample_{0};  // of each set, and the number of all
  Options options_;
  std::optional<Mixture> mixture_;
};

// Error(data) with numbers and the fix when an optimizer step takes more tokens than one epoch has.
void require_step_fits(const DataSource& source, int64_t tokens_per_step);

}  // namespace strata
