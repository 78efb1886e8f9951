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
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t sample = sample_of(cursor + row), begin = row * seq_len;
    if (const PackedRows* packed = dataset_->packed())
      fill_packed_row(packed->row(sample), begin, batch);
    else
      fill_row(dataset_->sample_begin(sample), begin, batch);
  }
  batch.segment_begin.push_back(static_cast<int32_t>(n));
  batch.num_targets =
      static_cast<int64_t>(n) - std::count(batch.targets.begin(), batch.targets.end(), kNoTarget);
}

namespace {

// The places [begin, end) of a batch become a segment.
void add_segment(int64_t begin, int64_t end, Batch& batch) {
  batch.segment_begin.push_back(static_cast<int32_t>(begin));
  std::iota(batch.positions.begin() + begin, batch.positions.begin() + end, 0);
}

}  // namespace

void DataSource::copy_tokens(TokenRange inputs, int64_t begin, Batch& batch) const {
  const auto count = static_cast<size_t>(inputs.size());
  const std::span tokens(batch.tokens.data() + begin, count), targets(batch.targets.data() + begin, count);
  const Corpus& corpus = dataset_->corpus();
  corpus.read(inputs.begin, tokens);
  corpus.read(inputs.begin + 1, targets);
  require_known(inputs.begin, tokens);
  require_known(inputs.begin + 1, targets);
  corpus.hide_unlearned(inputs.begin + 1, targets, kNoTarget);
}

void DataSource::fill_row(int64_t first_token, int64_t begin, Batch& batch) const {
  const int64_t seq_len = batch.seq_len;
  copy_tokens({first_token, first_token + seq_len}, begin, batch);
  int64_t segment = 0;  // where the open segment begins in the row
  if (dataset_->packing() == Packing::isolated) {
    for (;;) {
      const int64_t next = dataset_->corpus().next_document(first_token + segment) - first_token;
      if (next > seq_len) break;
      // It would be the first token of another document.
      batch.targets[static_cast<size_t>(begin + next - 1)] = kNoTarget;
      if (next == seq_len) break;
      add_segment(begin + segment, begin + next, batch);
      segment = next;
    }
  }
  add_segment(begin + segment, begin + seq_len, batch);
}

void DataSource::fill_packed_row(std::span<const TokenRange> pieces, int64_t begin, Batch& batch) const {
  const int64_t end = begin + batch.seq_len;
  for (const TokenRange& piece : pieces) {
    copy_tokens(piece, begin, batch);
    add_segment(begin, begin + piece.size(), batch);
    begin += piece.size();
  }
  if (begin == end) return;
  std::fill(batch.tokens.begin() + begin, batch.tokens.begin() + end, 0);
  std::fill(batch.targets.begin() + begin, batch.targets.begin() + end, kNoTarget);
  add_segment(begin, end, batch);
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
