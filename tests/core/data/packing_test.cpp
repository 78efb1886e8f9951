// SPDX-License-Identifier: Apache-2.0
// Best-fit packing against a plain search over all rows; what becomes of every token; batches and their
// masks.
#include "core/data/packing.h"

#include <numeric>
#include <random>
#include <set>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/sampler.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Documents of the given lengths; a token is its own place in the corpus.
Documents of_lengths(const std::vector<int64_t>& lengths) {
  Documents documents;
  int32_t token = 0;
  for (const int64_t length : lengths) {
    documents.emplace_back(static_cast<size_t>(length));
    std::iota(documents.back().begin(), documents.back().end(), token);
    token += static_cast<int32_t>(length);
  }
  return documents;
}

// The filled places of every row by the rule as it is written: longest first, all rows looked at, the
// tightest taken.
std::multiset<int64_t> best_fit_decreasing(std::vector<int64_t> pieces, int64_t seq_len) {
  std::sort(pieces.rbegin(), pieces.rend());
  std::vector<int64_t> filled;
  for (const int64_t piece : pieces) {
    int64_t* best = nullptr;
    for (int64_t& row : filled)
      if (row + piece <= seq_len && (!best || row > *best)) best = &row;
    if (best)
      *best += piece;
    else
      filled.push_back(piece);
  }
  return {filled.begin(), filled.end()};
}

std::vector<int64_t> pieces_of(const std::vector<int64_t>& lengths, int64_t seq_len, Overlong overlong) {
  std::vector<int64_t> pieces;
  for (const int64_t length : lengths) {
    if (length - 1 > seq_len && overlong == Overlong::drop) continue;
    for (int64_t left = length - 1; left > 0; left -= seq_len) pieces.push_back(std::min(left, seq_len));
  }
  return pieces;
}

TEST(PackedRows, AreThoseOfThePlainSearch) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const ScratchFolder scratch;
    std::vector<int64_t> lengths(1 + random() % 40);
    const int64_t longest = 1 + random() % 30;
    for (int64_t& length : lengths) length = 1 + static_cast<int64_t>(random()) % longest;
    const auto corpus = corpus_of(scratch, of_lengths(lengths));
    for (const int64_t seq_len : {1, 2, 7, 16, 64})
      for (const Overlong overlong : {Overlong::cut, Overlong::drop}) {
        const PackedRows packed(*corpus, {0, corpus->num_tokens()}, seq_len, overlong);
        std::multiset<int64_t> filled;
        std::vector<int64_t> inputs;
        int64_t first_before = -1;
        for (int64_t r = 0; r < packed.num_rows(); ++r) {
          int64_t sum = 0, before = -1;
          for (const TokenRange& piece : packed.row(r)) {
            ASSERT_GT(piece.size(), 0);
            ASSERT_GT(piece.begin, before) << "in the order of the text";
            before = piece.begin;
            sum += piece.size();
            for (int64_t t = piece.begin; t < piece.end; ++t) inputs.push_back(t);
          }
          ASSERT_LE(sum, seq_len);
          ASSERT_GT(packed.row(r)[0].begin, first_before) << "rows are numbered by their first document";
          first_before = packed.row(r)[0].begin;
          filled.insert(sum);
        }
        EXPECT_EQ(filled, best_fit_decreasing(pieces_of(lengths, seq_len, overlong), seq_len));
        // Every token that has a target in its document is an input once.
        std::vector<int64_t> expected;
        int64_t at = 0, overlong_documents = 0, documents = 0;
        for (const int64_t length : lengths) {
          const bool too_long = length - 1 > seq_len;
          overlong_documents += too_long;
          documents += length > 1;
          if (!too_long || overlong == Overlong::cut)
            for (int64_t t = at; t + 1 < at + length; ++t) expected.push_back(t);
          at += length;
        }
        std::sort(inputs.begin(), inputs.end());
        EXPECT_EQ(inputs, expected);
        EXPECT_EQ(packed.places(), static_cast<int64_t>(expected.size()));
        EXPECT_EQ(packed.overlong(), overlong_documents);
        EXPECT_EQ(packed.documents(), documents);
        if (packed.num_rows() == 0) continue;
        EXPECT_DOUBLE_EQ(packed.fill(), static_cast<double>(expected.size()) /
                                            static_cast<double>(packed.num_rows() * seq_len));
      }
  }
}

TEST(PackedRows, ARangeCutsTheDocumentAtItsBorders) {
  const ScratchFolder scratch;
  const auto corpus = corpus_of(scratch, of_lengths({5, 5, 5}));
  const PackedRows packed(*corpus, {2, 12}, 4, Overlong::cut);
  ASSERT_EQ(packed.num_rows(), 2);
  EXPECT_THAT(packed.row(0), ElementsAre(TokenRange{2, 4}, TokenRange{10, 11}));
  EXPECT_THAT(packed.row(1), ElementsAre(TokenRange{5, 9}));
  EXPECT_THROW(packed.row(2), ContractError);
  EXPECT_THROW(PackedRows(*corpus, {2, 16}, 4, Overlong::cut), ContractError);
}

// Text-like lengths: far less padding than one document a row, and near none.
TEST(PackedRows, FillLengthsOfRealTextAlmostWhole) {
  const ScratchFolder scratch;
  std::mt19937 random(3);
  std::lognormal_distribution<double> length(5.0, 1.0);
  std::vector<int64_t> lengths(3000);
  for (int64_t& l : lengths) l = 2 + static_cast<int64_t>(length(random));
  const auto corpus = corpus_of(scratch, of_lengths(lengths));
  const PackedRows packed(*corpus, {0, corpus->num_tokens()}, 2048, Overlong::cut);
  EXPECT_GT(packed.fill(), 0.99);
}

std::shared_ptr<const Dataset> best_fit(std::shared_ptr<const Corpus> corpus, int64_t seq_len,
                                        Overlong overlong = Overlong::cut) {
  const TokenRange all{0, corpus->num_tokens()};
  return std::make_shared<const Dataset>(Dataset::Desc{.corpus = std::move(corpus),
                                                       .range = all,
                                                       .seq_len = seq_len,
                                                       .packing = Packing::best_fit,
                                                       .overlong = overlong});
}

TEST(PackedBatches, AnExampleByHand) {
  const ScratchFolder scratch;
  // Places: 2, 1, 4, none, 3. Rows of 4: {4} of the third, {3, 1} of the last and the second, {2}.
  const auto corpus = corpus_of(scratch, {{1, 2, 9}, {3, 9}, {4, 5, 6, 7, 9}, {9}, {7, 8, 8, 9}});
  const DataSource source(best_fit(corpus, 4), {.order = SampleOrder::sequential, .vocab_size = 10});
  const Batch batch = filled(source, 0, 3);
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 0, 0, /**/ 3, 7, 8, 8, /**/ 4, 5, 6, 7));
  EXPECT_THAT(batch.targets, ElementsAre(2, 9, -1, -1, /**/ 9, 8, 8, 9, /**/ 5, 6, 7, 9));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 0, 1, /**/ 0, 0, 1, 2, /**/ 0, 1, 2, 3));
  EXPECT_THAT(batch.segment_begin, ElementsAre(0, 2, 4, 5, 8, 12));
  EXPECT_EQ(batch.num_targets, 10);
}

TEST(PackedBatches, SeekingEqualsReadingOnAndAnEpochIsEveryTokenOnce) {
  const ScratchFolder scratch;
  std::mt19937 random(11);
  std::vector<int64_t> lengths(60);
  for (int64_t& length : lengths) length = 1 + static_cast<int64_t>(random() % 12);
  const auto corpus = corpus_of(scratch, of_lengths(lengths));
  const auto data = best_fit(corpus, 10);
  const DataSource source(data, {.seed = 5, .vocab_size = 1000}),
      fresh(best_fit(corpus, 10), {.seed = 5, .vocab_size = 1000});
  const int64_t n = data->num_samples();
  std::vector<Batch> rows;
  for (int64_t cursor = 0; cursor < 3 * n; ++cursor) rows.push_back(filled(source, cursor, 1));
  for (int64_t cursor = 3 * n - 4; cursor >= 0; cursor -= 3) {
    const Batch batch = filled(fresh, cursor, 4);
    for (int64_t r = 0; r < 4; ++r) {
      const Batch& row = rows[static_cast<size_t>(cursor + r)];
      EXPECT_EQ(row.tokens,
                std::vector<int32_t>(batch.tokens.begin() + r * 10, batch.tokens.begin() + r * 10 + 10));
      EXPECT_EQ(row.targets,
                std::vector<int32_t>(batch.targets.begin() + r * 10, batch.targets.begin() + r * 10 + 10));
    }
  }
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::multiset<int32_t> targets;
    for (int64_t i = 0; i < n; ++i)
      for (const int32_t target : rows[static_cast<size_t>(epoch * n + i)].targets)
        if (target != kNoTarget) targets.insert(target);
    std::multiset<int32_t> expected;
    int32_t at = 0;
    for (const int64_t length : lengths) {
      for (int32_t t = 1; t < length; ++t) expected.insert(at + t);
      at += static_cast<int32_t>(length);
    }
    EXPECT_EQ(targets, expected) << epoch;
  }
}

TEST(PackedDataset, ShortTextFillsARowAndNothingToPackIsAnError) {
  const ScratchFolder scratch;
  const auto corpus = corpus_of(scratch, {{1, 2, 3}, {4}});
  EXPECT_EQ(best_fit(corpus, 256)->num_samples(), 1);
  EXPECT_EQ(best_fit(corpus, 256)->num_places(), 2);
  const ScratchFolder second, third;
  const auto single = corpus_of(second, {{1}, {2}});
  const Error none = error_of([&] { best_fit(single, 256); });
  EXPECT_EQ(none.fault(), Fault::data);
  EXPECT_THAT(none.report().expected, HasSubstr("at least 2 tokens"));
  const auto lengthy = corpus_of(third, {{1, 2, 3, 4, 5}});
  const Error dropped = error_of([&] { best_fit(lengthy, 2, Overlong::drop); });
  EXPECT_THAT(dropped.report().expected, HasSubstr("2 to 3 tokens"));
  EXPECT_THAT(dropped.report().fix, HasSubstr("data.seq_len"));
}

TEST(SplitTailDocuments, KeepsDocumentsWhole) {
  const ScratchFolder scratch;
  const auto corpus = corpus_of(scratch, of_lengths({10, 10, 10}));
  EXPECT_EQ(split_tail_documents(*corpus, 0.5).train, (TokenRange{0, 20}));
  EXPECT_EQ(split_tail_documents(*corpus, 0.5).valid, (TokenRange{20, 30}));
  EXPECT_EQ(split_tail_documents(*corpus, 2.0 / 3).valid, (TokenRange{10, 30}));
  EXPECT_EQ(split_tail_documents(*corpus, 0.1).valid, (TokenRange{27, 30}))
      << "none begins behind the border";
  EXPECT_EQ(split_tail_documents(*corpus, 0).valid.size(), 0);
}

// Two documents a row, in the order of the text; what is too long is left out as a pair; the border to the
// part for validation lies between pairs; batches say where responses are and what the reference gives them.
TEST(PackedRows, PairsStayTogether) {
  const ScratchFolder scratch;
  const auto corpus =
      corpus_of(scratch, of_lengths({4, 3, 9, 2, 2, 5, 3, 3}));  // the second pair has 8 + 1 places
  const PackedRows rows = PackedRows::pairs(*corpus, {0, corpus->num_tokens()}, 8);
  ASSERT_EQ(rows.num_rows(), 3);
  EXPECT_EQ(rows.overlong(), 2);
  EXPECT_THAT(rows.row(0), ElementsAre(TokenRange{0, 3}, TokenRange{4, 6}));
  EXPECT_THAT(rows.row(1), ElementsAre(TokenRange{18, 19}, TokenRange{20, 24}));
  EXPECT_EQ(PackedRows::pairs(*corpus, {0, corpus->num_tokens()}, 9).num_rows(), 4);
  EXPECT_THROW(PackedRows::pairs(*corpus, {0, 16}, 8), Error);  // three documents
  for (const double fraction : {0.0, 0.1, 0.3, 0.6, 0.9}) {
    const TailSplit split = split_tail_pairs(*corpus, fraction);
    EXPECT_EQ(split.train.end, split.valid.begin);
    EXPECT_THAT((std::vector<int64_t>{0, 7, 18, 25, 31}), testing::Contains(split.train.end)) << fraction;
  }
  const auto dataset = std::make_shared<Dataset>(Dataset::Desc{
      .corpus = corpus, .range = {0, corpus->num_tokens()}, .seq_len = 8, .packing = Packing::pairs});
  const auto reference =
      std::make_shared<const std::vector<float>>(std::vector<float>{-1, -2, -3, -4, -5, -6});
  const DataSource source(dataset,
                          {.order = SampleOrder::sequential, .vocab_size = 100, .reference = reference});
  Batch batch;
  source.fill(1, 2, batch);
  EXPECT_EQ(batch.num_targets, 2);
  EXPECT_THAT(batch.pairs.begin, ElementsAre(0, 1, 5, 8, 10, 12));
  EXPECT_THAT(batch.pairs.reference, ElementsAre(-3, -4, -5, -6));
  EXPECT_THAT(batch.segment_begin, ElementsAre(0, 1, 5, 8, 10, 12, 16));
  const DataSource plain(dataset, {.order = SampleOrder::sequential, .vocab_size = 100});
  plain.fill(1, 2, batch);
  EXPECT_TRUE(batch.pairs.empty());
  EXPECT_EQ(batch.num_targets, 9);
}

}  // namespace
}  // namespace strata
