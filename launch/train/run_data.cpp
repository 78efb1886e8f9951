// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_data.h"

#include <fmt/core.h>

#include <filesystem>

#include "core/base/hash.h"
#include "core/data/supervision.h"
#include "core/data/tokenize.h"

namespace strata {
namespace {

std::shared_ptr<const Corpus> open_corpus(const std::vector<std::string>& paths, const std::string& cache,
                                          const Tokenizer& tokenizer, const DataConfig& data) {
  const std::vector<std::filesystem::path> files(paths.begin(), paths.end());
  TokenizeOptions options;
  options.document.kind =
      data.document == DocumentEnd::file ? DocumentSplit::Kind::file : DocumentSplit::Kind::blank_line;
  options.records = {.format = data.format, .chat_template = data.chat_template, .tokenizer = data.tokenizer};
  return std::make_shared<Corpus>(open_data(files, cache, tokenizer, options));
}

using Datasets = std::vector<std::shared_ptr<const Dataset>>;

DataSource source(const Datasets& datasets, const Config& config, SampleOrder order, int64_t vocab,
                  std::shared_ptr<const std::vector<float>> reference) {
  return DataSource(datasets, {.seed = static_cast<uint64_t>(config.run.seed),
                               .order = order,
                               .vocab_size = vocab,
                               .weights = config.data.weights,
                               .reference = std::move(reference)});
}

int64_t places(const Datasets& datasets) {
  int64_t sum = 0;
  for (const auto& dataset : datasets) sum += dataset->num_places();
  return sum;
}

// Throws Error(data) when nothing would be learned; says what is.
void require_learning(const Dataset& dataset, std::vector<std::string>& notes) {
  if (!dataset.corpus().has_mask()) return;
  const Supervision found = count_supervision(dataset);
  require_supervision(found, dataset);
  notes.push_back(fmt::format("{}: {} of {} tokens are learned, in {} records", dataset.name(), found.learned,
                              found.tokens, found.documents));
  if (found.unlearned > 0)
    notes.push_back(fmt::format("{}: nothing is learned from {} of {} records", dataset.name(),
                                found.unlearned, found.documents));
  if (found.cut > 0)
    notes.push_back(fmt::format(
        "{}: {} of {} records are cut by the end of a sample (data.seq_len = {}) and partly learned without "
        "what came before",
        dataset.name(), found.cut, found.documents, dataset.seq_len()));
}

// What best-fit packing made of the documents.
void tell_packing(const Dataset& dataset, Overlong overlong, std::vector<std::string>& notes) {
  const PackedRows* rows = dataset.packed();
  if (!rows) return;
  if (dataset.packing() == Packing::pairs) {
    notes.push_back(fmt::format("{}: {} pairs of responses, {:.1f}% of the places of their rows are filled",
                                dataset.name(), rows->num_rows(), 100 * rows->fill()));
    if (rows->overlong() > 0)
      notes.push_back(fmt::format("{}: {} pairs are longer than a row (data.seq_len = {}) and left out",
                                  dataset.name(), rows->overlong() / 2, dataset.seq_len()));
    return;
  }
  notes.push_back(fmt::format("{}: {} documents in {} rows, {:.1f}% of their places are filled",
                              dataset.name(),
                              rows->documents() - (overlong == Overlong::drop ? rows->overlong() : 0),
                              rows->num_rows(), 100 * rows->fill()));
  if (rows->overlong() > 0)
    notes.push_back(fmt::format("{}: {} documents are longer than a row (data.seq_len = {}) and {}",
                                dataset.name(), rows->overlong(), dataset.seq_len(),
                                overlong == Overlong::drop ? "dropped" : "cut"));
}

std::shared_ptr<const Dataset> dataset(const std::shared_ptr<const Corpus>& corpus, TokenRange range,
                                       const DataConfig& data, std::string name) {
  return std::make_shared<Dataset>(Dataset::Desc{.corpus = corpus,
                                                 .range = range,
                                                 .seq_len = data.seq_len,
                                                 .packing = data.packing,
                                                 .overlong = data.overlong,
                                                 .name = std::move(name)});
}

// The last part of the training text for validation. Whole documents are kept whole.
TailSplit tail_of(const Corpus& corpus, const DataConfig& data) {
  if (data.packing == Packing::pairs) return split_tail_pairs(corpus, data.valid_fraction);
  return data.packing == Packing::best_fit ? split_tail_documents(corpus, data.valid_fraction)
                                           : split_tail(corpus.num_tokens(), data.valid_fraction);
}

// The share of each file, and how often the run will have seen it.
void tell_mixture(const RunData& data, const Config& config, std::vector<std::string>& notes) {
  if (data.train.size() < 2) return;
  const Mixture mixture(config.data.weights, 0);
  const double rows = static_cast<double>(config.run.steps) *
                      static_cast<double>(config.batch.tokens_per_step) /
                      static_cast<double>(config.data.seq_len);
  for (size_t i = 0; i < data.train.size(); ++i)
    notes.push_back(fmt::format("{}: {:.1f}% of the samples, {:.2f} times through its {} in {} steps",
                                data.train[i]->name(), 100 * mixture.share(i),
                                mixture.share(i) * rows / static_cast<double>(data.train[i]->num_samples()),
                                data.train[i]->num_samples(), config.run.steps));
}

// Files that are one row of tokens: all of them, or with weights each for itself.
std::vector<std::vector<std::string>> parts_of(const DataConfig& data) {
  if (data.weights.empty() || data.train.size() == 1) return {data.train};
  std::vector<std::vector<std::string>> parts;
  for (const std::string& file : data.train) parts.push_back({file});
  return parts;
}

}  // namespace

RunData open_run_data(const Config& config, const std::string& cache) {
  RunData data;
  data.tokenizer = make_tokenizer(config.data.tokenizer);
  const std::vector<std::vector<std::string>> parts = parts_of(config.data);
  for (const std::vector<std::string>& part : parts) {
    const auto corpus = open_corpus(part, cache, *data.tokenizer, config.data);
    data.fingerprint =
        data.train.empty() ? corpus->fingerprint() : hash_combine(data.fingerprint, corpus->fingerprint());
    const std::string of = parts.size() == 1 ? "" : " of " + part[0];
    TailSplit split{{0, corpus->num_tokens()}, {}};
    if (config.data.valid.empty()) split = tail_of(*corpus, config.data);
    if (split.valid.size() > 0)
      data.valid.push_back(
          dataset(corpus, split.valid, config.data, "validation data (data.valid_fraction)" + of));
    data.train.push_back(dataset(corpus, split.train, config.data, "training data" + of));
  }
  data.fingerprint = hash_combine(data.fingerprint, data.tokenizer->fingerprint());
  if (!config.data.valid.empty()) {
    const auto valid = open_corpus(config.data.valid, cache, *data.tokenizer, config.data);
    data.fingerprint = hash_combine(data.fingerprint, valid->fingerprint());
    data.valid.push_back(dataset(valid, {0, valid->num_tokens()}, config.data, "validation data"));
  }
  require_step_fits(data.train_source(config), config.batch.tokens_per_step);
  tell_mixture(data, config, data.notes);
  for (const Datasets* all : {&data.train, &data.valid})
    for (const auto& part : *all) {
      tell_packing(*part, config.data.overlong, data.notes);
      require_learning(*part, data.notes);
    }
  return data;
}

int64_t RunData::train_places() const { return places(train); }
int64_t RunData::valid_places() const { return places(valid); }

DataSource RunData::train_source(const Config& config) const {
  return source(train, config, SampleOrder::shuffled, tokenizer->vocab_size(), train_reference);
}

DataSource RunData::valid_source(const Config& config) const {
  return source(valid, config, SampleOrder::sequential, tokenizer->vocab_size(), valid_reference);
}

std::shared_ptr<const Dataset> open_eval_data(const Config& config, const std::string& path,
                                              const std::string& cache, const Tokenizer& tokenizer) {
  const auto corpus = open_corpus({path}, cache, tokenizer, config.data);
  return dataset(corpus, {0, corpus->num_tokens()}, config.data, path);
}

}  // namespace strata
