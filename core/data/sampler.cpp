// SPDX-License-Identifier: Apache-2.0
#include "core/data/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/permutation.h"

namespace strata {

DataSource::DataSource(std::shared_ptr<const Dataset> dataset, Options options)
    : DataSource(std::vector{std::move(dataset)}, std::move(options)) {}

DataSource::DataSource(std::vector<std::shared_ptr<const Dataset>> datasets, Options options)
    : datasets_(std::move(datasets)), options_(std::move(options)) {
  check(!datasets_.empty() && options_.vocab_size > 0, "[data_source] {} data sets and a vocabulary of {}",
        datasets_.size(), options_.vocab_size);
  check(!options_.reference || (datasets_.size() == 1 && datasets_[0]->packing() == Packing::pairs &&
                                std::ssize(*options_.reference) == 2 * datasets_[0]->num_samples()),
        "[data_source] a reference of {} log-probabilities",
        options_.reference ? options_.reference->size() : 0);
  for (const auto& dataset : datasets_) {
    check(dataset != nullptr && dataset->seq_len() == seq_len(), "[data_source] data sets of other lengths");
    first_sample_.push_back(first_sample_.back() + dataset->num_samples());
  }
  if (datasets_.size() == 1 || options_.order == SampleOrder::sequential) return;
  check(options_.weights.size() == datasets_.size(), "[data_source] {} weights of {} data sets",
        options_.weights.size(), datasets_.size());
  mixture_.emplace(options_.weights, options_.seed);
}

DataSource::Sample DataSource::sample_of(int64_t cursor) const {
  check(cursor >= 0, "[data_source] cursor {}", cursor);
  if (options_.order == SampleOrder::sequential) {
    const int64_t index = cursor % num_samples();
    const auto part =
        std::upper_bound(first_sample_.begin(), first_sample_.end(), index) - first_sample_.begin() - 1;
    return {static_cast<size_t>(part), index - first_sample_[static_cast<size_t>(part)],
            cursor / num_samples()};
  }
  const Mixture::Place place = mixture_ ? mixture_->at(cursor) : Mixture::Place{0, cursor};
  const int64_t n = datasets_[place.part]->num_samples(), epoch = place.index / n;
  const uint64_t seed = mixture_ ? hash_combine(options_.seed, place.part) : options_.seed;
  return {place.part, Permutation(n, seed, static_cast<uint64_t>(epoch))(place.index % n), epoch};
}

void DataSource::fill(int64_t cursor, int64_t rows, Batch& batch) const {
  const int64_t seq_len = this->seq_len();
  check(rows > 0 && rows <= INT32_MAX / seq_len, "[data_source] {} rows of {} tokens", rows, seq_len);
  const auto n = static_cast<size_t>(rows * seq_len);
  batch.rows = rows;
  batch.seq_len = seq_len;
  batch.tokens.resize(n);
  batch.targets.resize(n);
  batch.positions.resize(n);
  batch.segment_begin.clear();
  batch.segment_begin.reserve(n + 1);  // the most there can be: later fills allocate nothing
  batch.pairs.begin.clear();
  batch.pairs.reference.clear();
  for (int64_t row = 0; row < rows; ++row) {
    const Sample sample = sample_of(cursor + row);
    const Dataset& dataset = *datasets_[sample.part];
    if (dataset.packed())
      fill_packed_row(dataset, sample.index, row * seq_len, batch);
    else
      fill_row(dataset, sample.index, row * seq_len, batch);
    if (options_.reference) add_pair(dataset, sample.index, row * seq_len, batch);
  }
  batch.segment_begin.push_back(static_cast<int32_t>(n));
  batch.runs.assign(1, {.count = rows * seq_len, .first = cursor * seq_len});
  batch.num_targets =
      options_.reference
          ? rows
          : static_cast<int64_t>(n) - std::count(batch.targets.begin(), batch.targets.end(), kNoTarget);
}

namespace {

// The places [begin, end) of a batch become a segment.
void add_segment(int64_t begin, int64_t end, Batch& batch) {
  batch.segment_begin.push_back(static_cast<int32_t>(begin));
  std::iota(batch.positions.begin() + begin, batch.positions.begin() + end, 0);
}

}  // namespace

void DataSource::add_pair(const Dataset& dataset, int64_t sample, int64_t begin, Batch& batch) const {
  const std::span<const TokenRange> pieces = dataset.packed()->row(sample);
  const int64_t second = begin + pieces[0].size();
  for (const int64_t at : {begin, second, second + pieces[1].size()})
    batch.pairs.begin.push_back(static_cast<int32_t>(at));
  for (const int64_t which : {0, 1})
    batch.pairs.reference.push_back((*options_.reference)[static_cast<size_t>(2 * sample + which)]);
}

void DataSource::copy_tokens(const Corpus& corpus, TokenRange inputs, int64_t begin, Batch& batch) const {
  const auto count = static_cast<size_t>(inputs.size());
  const std::span tokens(batch.tokens.data() + begin, count), targets(batch.targets.data() + begin, count);
  corpus.read(inputs.begin, tokens);
  corpus.read(inputs.begin + 1, targets);
  require_known(corpus, inputs.begin, tokens);
  require_known(corpus, inputs.begin + 1, targets);
  corpus.hide_unlearned(inputs.begin + 1, targets, kNoTarget);
}

void DataSource::fill_row(const Dataset& dataset, int64_t sample, int64_t begin, Batch& batch) const {
  const Corpus& corpus = dataset.corpus();
  const int64_t seq_len = batch.seq_len, first_token = dataset.sample_begin(sample);
  copy_tokens(corpus, {first_token, first_token + seq_len}, begin, batch);
  int64_t segment = 0;  // where the open segment begins in the row
  if (dataset.packing() == Packing::isolated) {
    for (;;) {
      const int64_t next = corpus.next_document(first_token + segment) - first_token;
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

void DataSource::fill_packed_row(const Dataset& dataset, int64_t sample, int64_t begin, Batch& batch) const {
  const int64_t end = begin + batch.seq_len;
  for (const TokenRange& piece : dataset.packed()->row(sample)) {
    copy_tokens(dataset.corpus(), piece, begin, batch);
    add_segment(begin, begin + piece.size(), batch);
    begin += piece.size();
  }
  if (begin == end) return;
  std::fill(batch.tokens.begin() + begin, batch.tokens.begin() + end, 0);
  std::fill(batch.targets.begin() + begin, batch.targets.begin() + end, kNoTarget);
  add_segment(begin, end, batch);
}

void DataSource::require_known(const Corpus& corpus, int64_t first_token,
                               std::span<const int32_t> tokens) const {
  const auto known = [this](int32_t id) { return id >= 0 && id < options_.vocab_size; };
  const auto unknown = std::find_if_not(tokens.begin(), tokens.end(), known);
  if (unknown == tokens.end()) return;
  throw Error(Fault::data,
              {.what = "the data holds a token that the vocabulary does not have",
               .where = corpus.where(first_token + (unknown - tokens.begin())),
               .found = fmt::format("token {}", *unknown),
               .expected = fmt::format("0 to {}", options_.vocab_size - 1),
               .fix = "tokenize the text with the tokenizer of this model, or set model.vocab to the "
                      "vocabulary the data was made with"});
}

void require_step_fits(const DataSource& source, int64_t tokens_per_step) {
  const int64_t seq_len = source.seq_len(), held = source.num_samples() * seq_len;
  if (tokens_per_step <= held) return;
  const std::string name = source.datasets().size() == 1 ? source.datasets()[0]->name() : "training data";
  throw Error(Fault::data,
              {.what = "one step takes more tokens than the data has",
               .where = name,
               .found = fmt::format("batch.tokens_per_step = {}, {} samples of {} tokens", tokens_per_step,
                                    div_up(tokens_per_step, seq_len), seq_len),
               .expected = fmt::format("at most {}: the {} has {} samples", held, name, source.num_samples()),
               .fix = fmt::format("add text, or set batch.tokens_per_step to {} or less", held)});
}

}  // namespace strata
