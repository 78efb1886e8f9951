// SPDX-License-Identifier: Apache-2.0
// Batches against a plain reference made token by token; order, seeking and epochs.
#include "core/data/sampler.h"

#include <random>
#include <set>

#include "core/base/check.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::shared_ptr<const Dataset> dataset(std::shared_ptr<const Corpus> corpus, int64_t seq_len,
                                       Packing packing = Packing::isolated) {
  const TokenRange all{0, corpus->num_tokens()};
  return std::make_shared<const Dataset>(
      Dataset::Desc{.corpus = std::move(corpus), .range = all, .seq_len = seq_len, .packing = packing});
}

TEST(DataSource, PacksAnExampleByHand) {
  const ScratchFolder scratch;
  // Documents end with 9. Samples of 6: tokens 0-5 and 6-11, targets to 12.
  const auto corpus = corpus_of(scratch, {{1, 2, 9}, {3, 9}, {4, 5, 6, 9}, {9}, {7, 8, 9}});
  const DataSource isolated(dataset(corpus, 6), {.order = SampleOrder::sequential, .vocab_size = 10});
  const Batch batch = filled(isolated, 0, 2);
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 9, 3, 9, 4, /**/ 5, 6, 9, 9, 7, 8));
  EXPECT_THAT(batch.targets, ElementsAre(2, 9, -1, 9, -1, 5, /**/ 6, 9, -1, -1, 8, 9));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 0, 1, 0, /**/ 0, 1, 2, 0, 0, 1));
  EXPECT_THAT(batch.segment_begin, ElementsAre(0, 3, 5, /**/ 6, 9, 10, 12));
  EXPECT_EQ(batch.num_targets, 8);
  EXPECT_EQ(batch.rows, 2);
  EXPECT_EQ(batch.seq_len, 6);

  const DataSource concat(dataset(corpus, 6, Packing::concat),
                          {.order = SampleOrder::sequential, .vocab_size = 10});
  const Batch whole = filled(concat, 0, 2);
  EXPECT_THAT(whole.tokens, testing::ContainerEq(batch.tokens));
  EXPECT_THAT(whole.targets, ElementsAre(2, 9, 3, 9, 4, 5, /**/ 6, 9, 9, 7, 8, 9));
  EXPECT_THAT(whole.positions, ElementsAre(0, 1, 2, 3, 4, 5, /**/ 0, 1, 2, 3, 4, 5));
  EXPECT_THAT(whole.segment_begin, ElementsAre(0, 6, 12));
  EXPECT_EQ(whole.num_targets, 12);
}

TEST(DataSource, ADocumentThatEndsWithTheRowHasNoTargetThere) {
  const ScratchFolder scratch;
  const auto corpus = corpus_of(scratch, {{1, 2, 9}, {3, 4, 9}, {5}});
  const DataSource source(dataset(corpus, 3), {.order = SampleOrder::sequential, .vocab_size = 10});
  const Batch batch = filled(source, 0, 2);
  EXPECT_THAT(batch.targets, ElementsAre(2, 9, -1, 4, 9, -1));
  EXPECT_THAT(batch.segment_begin, ElementsAre(0, 3, 6));
}

// Token by token from the list of documents, without looking anything up.
Batch reference(const Documents& documents, const std::vector<int64_t>& samples, int64_t seq_len,
                Packing packing) {
  std::vector<int32_t> tokens, document;
  for (size_t d = 0; d < documents.size(); ++d)
    for (const int32_t token : documents[d])
      tokens.push_back(token), document.push_back(static_cast<int32_t>(d));
  Batch batch;
  batch.rows = static_cast<int64_t>(samples.size());
  batch.seq_len = seq_len;
  for (const int64_t sample : samples) {
    int32_t position = 0;
    for (int64_t t = 0; t < seq_len; ++t) {
      const auto at = static_cast<size_t>(sample * seq_len + t);
      const bool begins = t == 0 || (packing == Packing::isolated && document[at] != document[at - 1]);
      const bool ends = packing == Packing::isolated && document[at] != document[at + 1];
      if (begins) batch.segment_begin.push_back(static_cast<int32_t>(batch.tokens.size())), position = 0;
      batch.tokens.push_back(tokens[at]);
      batch.targets.push_back(ends ? -1 : tokens[at + 1]);
      batch.positions.push_back(position++);
      batch.num_targets += !ends;
    }
  }
  batch.segment_begin.push_back(static_cast<int32_t>(batch.tokens.size()));
  return batch;
}

void expect_equal(const Batch& got, const Batch& expected) {
  EXPECT_EQ(got.rows, expected.rows);
  EXPECT_EQ(got.seq_len, expected.seq_len);
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_EQ(got.targets, expected.targets);
  EXPECT_EQ(got.positions, expected.positions);
  EXPECT_EQ(got.segment_begin, expected.segment_begin);
  EXPECT_EQ(got.num_targets, expected.num_targets);
}

TEST(DataSource, AgreesWithAReferenceOnRandomDocuments) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    const ScratchFolder scratch;
    Documents documents;
    int32_t total = 0;
    for (int d = 0; d < 30; ++d) {
      documents.emplace_back(1 + random() % (round % 2 ? 4 : 25));
      for (int32_t& token : documents.back()) token = total++;
    }
    // As two files, so that their border is one of the document borders.
    std::vector<TokenFile> files;
    files.push_back(write_tokens(scratch / "a", {documents.begin(), documents.begin() + 11}));
    files.push_back(write_tokens(scratch / "b", {documents.begin() + 11, documents.end()}));
    const auto corpus = std::make_shared<const Corpus>(std::move(files));
    for (const int64_t seq_len : {1, 2, 5, 16})
      for (const Packing packing : {Packing::isolated, Packing::concat}) {
        const DataSource source(dataset(corpus, seq_len, packing),
                                {.seed = static_cast<uint64_t>(round), .vocab_size = total});
        Batch batch;  // used again and again, as in a run
        for (const int64_t rows : {3, 1, 2})
          for (const int64_t cursor : {0, 1, 7}) {
            std::vector<int64_t> samples;
            for (int64_t r = 0; r < rows; ++r) samples.push_back(source.sample_of(cursor + r).index);
            source.fill(cursor, rows, batch);
            expect_equal(batch, reference(documents, samples, seq_len, packing));
          }
      }
  }
}

TEST(DataSource, AnEpochIsEverySampleOnceInAnOrderOfItsOwn) {
  const ScratchFolder scratch;
  const auto corpus = counting_corpus(scratch, 1001);
  const DataSource source(dataset(corpus, 10), {.seed = 3, .vocab_size = 1001});
  const int64_t n = source.num_samples();
  ASSERT_EQ(n, 100);
  std::vector<std::vector<int64_t>> epochs;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    epochs.emplace_back();
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_EQ(source.sample_of(epoch * n + i).epoch, epoch);
      epochs.back().push_back(source.sample_of(epoch * n + i).index);
    }
    EXPECT_EQ(std::set<int64_t>(epochs.back().begin(), epochs.back().end()).size(), 100u);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  const DataSource other(dataset(corpus, 10), {.seed = 4, .vocab_size = 1001});
  std::vector<int64_t> order;
  for (int64_t i = 0; i < n; ++i) order.push_back(other.sample_of(i).index);
  EXPECT_NE(order, epochs[0]);
}

TEST(DataSource, SequentialOrderIsTheOrderOfTheText) {
  const ScratchFolder scratch;
  const DataSource source(dataset(counting_corpus(scratch, 31), 10),
                          {.order = SampleOrder::sequential, .vocab_size = 31});
  EXPECT_THAT(filled(source, 0, 3).tokens,
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
                          23, 24, 25, 26, 27, 28, 29));
  EXPECT_EQ(source.sample_of(3).index, 0);
}

TEST(DataSource, SeekingEqualsReadingOnAndRowsDoNotDependOnTheMicroBatch) {
  const ScratchFolder scratch;
  const auto data = dataset(counting_corpus(scratch, 71), 10);  // 7 samples: steps cross epochs
  const DataSource source(data, {.seed = 11, .vocab_size = 71});
  std::vector<int32_t> run;
  for (int64_t cursor = 0; cursor < 40; ++cursor) {
    const Batch row = filled(source, cursor, 1);
    run.insert(run.end(), row.tokens.begin(), row.tokens.end());
  }
  const DataSource fresh(data, {.seed = 11, .vocab_size = 71});
  for (const int64_t rows : {1, 2, 3, 5})
    for (int64_t cursor = 0; cursor + rows <= 40; ++cursor)
      EXPECT_EQ(filled(fresh, cursor, rows).tokens,
                std::vector<int32_t>(run.begin() + cursor * 10, run.begin() + (cursor + rows) * 10));
}

TEST(StepShape, MicroBatchesTileTheStep) {
  const StepShape step{.rows = 4, .micro_batches = 3};
  EXPECT_EQ(step.samples(), 12);
  std::vector<int64_t> cursors;
  for (int64_t m = 0; m < 3; ++m) cursors.push_back(step.cursor(100, m));
  EXPECT_THAT(cursors, ElementsAre(100, 104, 108));
}

TEST(DataSource, ATokenOutsideTheVocabularyIsNamedByItsPlace) {
  const ScratchFolder scratch;
  const auto corpus = corpus_of(scratch, {{1, 2, 3}, {4, 5, 300}, {6, 7}});
  const DataSource source(dataset(corpus, 3), {.order = SampleOrder::sequential, .vocab_size = 257});
  const Error error = error_of([&] { filled(source, 0, 2); });
  EXPECT_EQ(error.fault(), Fault::data);
  EXPECT_THAT(error.report().where, HasSubstr("corpus.bin, token 5"));
  EXPECT_EQ(error.report().found, "token 300");
  EXPECT_EQ(error.report().expected, "0 to 256");
  // It may only be a target.
  const DataSource pairs(dataset(corpus, 5), {.order = SampleOrder::sequential, .vocab_size = 257});
  EXPECT_THAT(error_of([&] { filled(pairs, 0, 1); }).report().where, HasSubstr("token 5"));
}

}  // namespace
}  // namespace strata
