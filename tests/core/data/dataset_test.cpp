// SPDX-License-Identifier: Apache-2.0
// Several files as one row of tokens; samples and splits that share no token they should not.
#include "core/data/dataset.h"

#include <set>

#include "core/base/check.h"
#include "core/data/sampler.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Corpus, FilesFollowOneAnother) {
  const ScratchFolder scratch;
  std::vector<TokenFile> files;
  files.push_back(write_tokens(scratch / "a", {{1, 2}, {3}}));
  files.push_back(write_tokens(scratch / "empty", {}));
  files.push_back(write_tokens(scratch / "b", {{100000}}, {.type = TokenType::i32}));
  files.push_back(write_tokens(scratch / "c", {{4, 5, 6}}));
  const Corpus corpus(std::move(files));
  ASSERT_EQ(corpus.num_tokens(), 7);
  EXPECT_EQ(corpus.num_documents(), 4);

  const std::vector<int32_t> all = {1, 2, 3, 100000, 4, 5, 6};
  for (int64_t begin = 0; begin <= 7; ++begin)
    for (int64_t end = begin; end <= 7; ++end) {
      std::vector<int32_t> got(static_cast<size_t>(end - begin));
      corpus.read(begin, got);
      EXPECT_EQ(got, std::vector<int32_t>(all.begin() + begin, all.begin() + end)) << begin << " " << end;
    }
  const std::vector<int64_t> next = {2, 2, 3, 4, 7, 7, 7};
  for (int64_t token = 0; token < 7; ++token)
    EXPECT_EQ(corpus.next_document(token), next[static_cast<size_t>(token)]);
  EXPECT_EQ(corpus.where(5), (scratch / "c.bin").string() + ", token 1");
  std::vector<int32_t> too_many(8);
  EXPECT_THROW(corpus.read(0, too_many), ContractError);
  EXPECT_THROW(corpus.next_document(7), ContractError);
}

TEST(Corpus, OrderOfFilesIsPartOfTheFingerprint) {
  const ScratchFolder scratch;
  write_tokens(scratch / "a", {{1}});
  write_tokens(scratch / "b", {{2}});
  const auto fingerprint = [&](std::vector<std::string> names) {
    std::vector<TokenFile> files;
    for (const auto& name : names) files.emplace_back(scratch / name);
    return Corpus(std::move(files)).fingerprint();
  };
  EXPECT_EQ(fingerprint({"a", "b"}), fingerprint({"a", "b"}));
  EXPECT_NE(fingerprint({"a", "b"}), fingerprint({"b", "a"}));
  EXPECT_NE(fingerprint({"a", "b"}), fingerprint({"a"}));
}

TEST(Dataset, SamplesCoverTheRangeAndShareOnlyTargets) {
  const ScratchFolder scratch;
  const auto corpus = counting_corpus(scratch, 50);
  for (const int64_t seq_len : {1, 2, 3, 7, 10})
    for (const TokenRange range : {TokenRange{0, 50}, TokenRange{5, 36}, TokenRange{20, 31}}) {
      const Dataset data({.corpus = corpus, .range = range, .seq_len = seq_len});
      std::multiset<int64_t> inputs;
      for (int64_t i = 0; i < data.num_samples(); ++i) {
        ASSERT_GE(data.sample_begin(i), range.begin);
        ASSERT_LT(data.sample_begin(i) + seq_len, range.end) << "the last target lies in the range";
        for (int64_t t = 0; t < seq_len; ++t) inputs.insert(data.sample_begin(i) + t);
      }
      // Every token that has a target and fits in a whole sample is an input once.
      const int64_t covered = (range.size() - 1) / seq_len * seq_len;
      ASSERT_EQ(static_cast<int64_t>(inputs.size()), covered);
      for (int64_t t = 0; t < covered; ++t) EXPECT_EQ(inputs.count(range.begin + t), 1u);
      EXPECT_LT(range.size() - 1 - covered, seq_len) << "no further sample would fit";
      EXPECT_THROW(data.sample_begin(data.num_samples()), ContractError);
      EXPECT_THROW(data.sample_begin(-1), ContractError);
    }
}

TEST(Dataset, TrainingAndValidationShareNoToken) {
  const ScratchFolder scratch;
  const auto corpus = counting_corpus(scratch, 1003);
  for (const double fraction : {0.02, 0.1, 0.5}) {
    const TailSplit split = split_tail(corpus->num_tokens(), fraction);
    EXPECT_EQ(split.train.begin, 0);
    EXPECT_EQ(split.train.end, split.valid.begin);
    EXPECT_EQ(split.valid.end, 1003);
    EXPECT_NEAR(static_cast<double>(split.valid.size()), 1003 * fraction, 0.5);
    for (const int64_t seq_len : {1, 4, 19}) {
      const Dataset train({.corpus = corpus, .range = split.train, .seq_len = seq_len});
      const Dataset valid({.corpus = corpus, .range = split.valid, .seq_len = seq_len});
      std::set<int32_t> seen;
      std::vector<int32_t> tokens(static_cast<size_t>(seq_len + 1));
      for (int64_t i = 0; i < train.num_samples(); ++i) {
        train.corpus().read(train.sample_begin(i), tokens);
        seen.insert(tokens.begin(), tokens.end());
      }
      for (int64_t i = 0; i < valid.num_samples(); ++i) {
        valid.corpus().read(valid.sample_begin(i), tokens);
        for (const int32_t token : tokens) ASSERT_EQ(seen.count(token), 0u) << token;
      }
    }
  }
  EXPECT_EQ(split_tail(10, 0).valid.size(), 0);
  EXPECT_EQ(split_tail(10, 0).train, (TokenRange{0, 10}));
  EXPECT_THROW(split_tail(10, 1.0), ContractError);
}

TEST(Dataset, TooLittleTextIsAnErrorWithNumbers) {
  const ScratchFolder scratch;
  const auto corpus = counting_corpus(scratch, 300);
  EXPECT_EQ(Dataset({.corpus = corpus, .range = {0, 257}, .seq_len = 256}).num_samples(), 1);
  const Error error = error_of([&] {
    Dataset({.corpus = corpus, .range = {0, 256}, .seq_len = 256, .name = "validation data"});
  });
  EXPECT_EQ(error.fault(), Fault::data);
  EXPECT_THAT(error.what(), HasSubstr("validation data is shorter than one sample"));
  EXPECT_EQ(error.report().found, "256 of 300 tokens");
  EXPECT_THAT(error.report().expected, HasSubstr("at least 257"));
  EXPECT_THAT(error.report().fix, HasSubstr("data.seq_len"));
}

TEST(Dataset, AStepMustFitInTheData) {
  const ScratchFolder scratch;
  const DataSource data(std::make_shared<Dataset>(Dataset::Desc{
                            .corpus = counting_corpus(scratch, 100), .range = {0, 100}, .seq_len = 16}),
                        {.vocab_size = 100});
  require_step_fits(data, 96);
  const Error error = error_of([&] { require_step_fits(data, 112); });
  EXPECT_EQ(error.fault(), Fault::data);
  EXPECT_THAT(error.what(), HasSubstr("more tokens than the data has"));
  EXPECT_EQ(error.report().found, "batch.tokens_per_step = 112, 7 samples of 16 tokens");
  EXPECT_EQ(error.report().expected, "at most 96: the training data has 6 samples");
  EXPECT_THAT(error.report().fix, HasSubstr("batch.tokens_per_step to 96 or less"));
}

}  // namespace
}  // namespace strata
