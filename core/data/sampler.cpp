// SPDX-License-Identifier: Apache-2.0
#include "core/data/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/permutation.h"

namespace strata {

DataSource::DataSource(std::shared_ptr<const Dataset> dataset, Options options)
    : dataset_(std::move(dataset)), options_(options) {
  check(dataset_ != nullptr && options_.vocab_size > 0,
        "[data_source] a dataset and a vocabulary are needed, got {}", options_.vocab_size);
}

int64_t DataSource::sample_of(int64_t cursor) const {
  check(cursor >= 0, "[data_source] cursor {}", cursor);
  const int64_t n = dataset_->num_samples(), index = cursor % n;
  if (options_.order == SampleOrder::sequential) return index;
  return Permutation(n, options_.seed, static_cast<uint64_t>(epoch_of(cursor)))(index);
}

void DataSource::fill(int64_t cursor, int64_t rows, Batch& batch) const {
  const int64_t seq_len = dataset_->seq_len();
  check(rows > 0 && rows <= INT32_MAX / seq_len, "[data_source] {} rows of {} tokens", rows, seq_len);
  const auto n = static_cast<size_t>(rows * seq_len);
  batch.rows = rows;
  batch.seq_len = seq_len;
  batch.tokens.resize(n);
  batch.targets.resize(n);
  batch.positions.resize(n);
  batch.segment_begin.clear();
  batch.segment_begin.reserve(n + 1);  // the most there can be: later fills allocate nothing
  for (int64_t row = 0; row < rows; ++row)
    fill_row(dataset_->sample_begin(sample_of(cursor + row)), row, batch);
  batch.segment_begin.push_back(static_cast<int32_t>(n));
  batch.num_targets =
      static_cast<int64_t>(n) - std::count(batch.targets.begin(), batch.targets.end(), kNoTarget);
}

void DataSource::fill_row(int64_t first_token, int64_t row, Batch& batch) const {
  const int64_t seq_len = batch.seq_len, offset = row * seq_len;
  const Corpus& corpus = dataset_->corpus();
  const std::span tokens(batch.tokens.data() + offset, static_cast<size_t>(seq_len));
  const std::span targets(batch.targets.data() + offset, static_cast<size_t>(seq_len));
  const std::span positions(batch.positions.data() + offset, static_cast<size_t>(seq_len));
  corpus.read(first_token, tokens);
  corpus.read(first_token + 1, targets);
  require_known(first_token, tokens);
  require_known(first_token + 1, targets);
  corpus.hide_unlearned(first_token + 1, targets, kNoTarget);

  int64_t segment = 0;  // where the open segment begins in the row
  const auto open_segment = [&](int64_t begin, int64_t end) {
    batch.segment_begin.push_back(static_cast<int32_t>(offset + begin));
    std::iota(positions.begin() + begin, positions.begin() + end, 0);
  };
  if (options_.packing == Packing::isolated) {
    for (;;) {
      const int64_t next = corpus.next_document(first_token + segment) - first_token;
      if (next > seq_len) break;
      targets[static_cast<size_t>(next - 1)] = kNoTarget;  // it would be the first token of another document
      if (next == seq_len) break;
      open_segment(segment, next);
      segment = next;
    }
  }
  open_segment(segment, seq_len);
}

void DataSource::require_known(int64_t first_token, std::span<const int32_t> tokens) const {
  const auto known = [this](int32_t id) { return id >= 0 && id < options_.vocab_size; };
  const auto unknown = std::find_if_not(tokens.begin(), tokens.end(), known);
  if (unknown == tokens.end()) return;
  throw Error(Fault::data,
              {.what = "the data holds a token that the vocabulary does not have",
               .where = dataset_->corpus().where(first_token + (unknown - tokens.begin())),
               .found = fmt::format("token {}", *unknown),
               .expected = fmt::format("0 to {}", options_.vocab_size - 1),
               .fix = "tokenize the text with the tokenizer of this model, or set model.vocab to the "
                      "vocabulary the data was made with"});
}

}  // namespace strata
