// SPDX-License-Identifier: Apache-2.0
// Shares of data sets, the rows of each in order and once, and batches of a mixture against its parts.
#include "core/data/mixture.h"

#include <cmath>
#include <set>

#include "core/base/check.h"
#include "core/data/sampler.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::ElementsAre;

TEST(Mixture, EveryRoundHasTheShares) {
  const std::vector<double> weights = {3, 1, 0.5, 0.002};
  const Mixture mixture(weights, 1);
  // 4096 x weight / 4.502 = 2729.45, 909.82, 454.91, 1.82: rounded by the largest remainder.
  const std::vector<int64_t> places = {2729, 910, 455, 2};
  for (int64_t round : {0, 1, 7}) {
    std::vector<int64_t> count(4);
    for (int64_t i = 0; i < Mixture::kRound; ++i) ++count[mixture.at(round * Mixture::kRound + i).part];
    EXPECT_EQ(count, places) << round;
  }
  for (size_t part = 0; part < 4; ++part)
    EXPECT_DOUBLE_EQ(mixture.share(part), static_cast<double>(places[part]) / 4096);
}

TEST(Mixture, ThePartsRowsComeInOrder) {
  for (const std::vector<double>& weights : {std::vector<double>{1, 1}, {1, 4095}, {5, 3, 2}, {1}}) {
    const Mixture mixture(weights, 9);
    std::vector<int64_t> next(weights.size());
    for (int64_t row = 0; row < 3 * Mixture::kRound; ++row) {
      const Mixture::Place place = mixture.at(row);
      ASSERT_EQ(place.index, next[place.part]++);
    }
  }
}

// Nowhere in a round is a part far from its share: three standard deviations of drawing without replacement.
TEST(Mixture, SharesHoldWithinARound) {
  const Mixture mixture(std::vector<double>{1, 3}, 4);
  int64_t first = 0;
  for (int64_t row = 1; row <= Mixture::kRound; ++row) {
    first += mixture.at(row - 1).part == 0;
    EXPECT_NEAR(static_cast<double>(first), 0.25 * static_cast<double>(row),
                3 * 0.5 * std::sqrt(0.1875 * 4096))
        << row;
  }
}

TEST(Mixture, IsOfItsSeed) {
  const std::vector<double> weights = {1, 1};
  const auto parts = [&](uint64_t seed) {
    std::vector<size_t> all;
    const Mixture mixture(weights, seed);
    for (int64_t row = 0; row < 64; ++row) all.push_back(mixture.at(row).part);
    return all;
  };
  EXPECT_EQ(parts(1), parts(1));
  EXPECT_NE(parts(1), parts(2));
  EXPECT_THROW(Mixture(std::vector<double>{1, 5000}, 1), ContractError);
  EXPECT_THROW(Mixture(std::vector<double>{1, 0}, 1), ContractError);
}

// Tokens of file f are 100 f and up: a row says whose it is.
std::shared_ptr<const Dataset> part(const ScratchFolder& scratch, int32_t file, int64_t tokens,
                                    int64_t seq_len, Packing packing) {
  Documents documents;
  for (int32_t t = 0; t < tokens; t += 3)
    documents.push_back({100 * file + t, 100 * file + t + 1, 100 * file + t + 2});
  std::vector<TokenFile> files;
  files.push_back(write_tokens(scratch / std::to_string(file), documents));
  const auto corpus = std::make_shared<const Corpus>(std::move(files));
  return std::make_shared<const Dataset>(Dataset::Desc{
      .corpus = corpus, .range = {0, corpus->num_tokens()}, .seq_len = seq_len, .packing = packing});
}

TEST(MixedSource, RowsAreThoseOfThePartsInTheirShares) {
  for (const Packing packing : {Packing::isolated, Packing::best_fit}) {
    const ScratchFolder scratch;
    const auto a = part(scratch, 0, 99, 6, packing), b = part(scratch, 1, 39, 6, packing);
    const DataSource::Options options{.seed = 3, .vocab_size = 200, .weights = {1, 3}};
    const DataSource source({a, b}, options), fresh({a, b}, options);
    ASSERT_EQ(source.num_samples(), a->num_samples() + b->num_samples());
    std::vector<Batch> rows(4 * Mixture::kRound);
    std::vector<std::vector<int64_t>> order(2);
    for (size_t cursor = 0; cursor < rows.size(); ++cursor) {
      source.fill(static_cast<int64_t>(cursor), 1, rows[cursor]);
      const DataSource::Sample sample = source.sample_of(static_cast<int64_t>(cursor));
      ASSERT_EQ(rows[cursor].tokens[0] >= 100, sample.part == 1);
      order[sample.part].push_back(sample.index);
    }
    EXPECT_EQ(order[1].size(), 3u * Mixture::kRound);
    // Every epoch of a part is each of its samples once.
    for (size_t p = 0; p < 2; ++p) {
      const auto n = static_cast<size_t>(source.datasets()[p]->num_samples());
      for (size_t begin = 0; begin + n <= order[p].size(); begin += n)
        ASSERT_EQ(std::set<int64_t>(order[p].begin() + begin, order[p].begin() + begin + n).size(), n);
    }
    // Seeking equals reading on.
    for (const int64_t cursor : {0, 5, 4094, 8191, 16380}) {
      Batch batch;
      fresh.fill(cursor, 4, batch);
      for (int64_t r = 0; r < 4; ++r)
        EXPECT_EQ(rows[static_cast<size_t>(cursor + r)].tokens,
                  std::vector<int32_t>(batch.tokens.begin() + r * 6, batch.tokens.begin() + r * 6 + 6));
    }
  }
}

TEST(MixedSource, SequentialOrderIsOnePartAfterTheOther) {
  const ScratchFolder scratch;
  const auto a = part(scratch, 0, 9, 3, Packing::best_fit), b = part(scratch, 1, 6, 3, Packing::best_fit);
  const DataSource source({a, b}, {.order = SampleOrder::sequential, .vocab_size = 200, .weights = {9, 1}});
  Batch batch;
  source.fill(0, source.num_samples(), batch);
  EXPECT_THAT(batch.tokens, ElementsAre(0, 1, 0, 3, 4, 0, 6, 7, 0, /**/ 100, 101, 0, 103, 104, 0));
}

}  // namespace
}  // namespace strata
