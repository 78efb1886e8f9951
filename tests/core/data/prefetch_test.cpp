// SPDX-License-Identifier: Apache-2.0
// Prefetched steps equal direct ones; errors arrive where they belong; the thread always ends. Run under
// TSan.
#include "core/data/prefetch.h"

#include <chrono>

#include "core/base/check.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::HasSubstr;

class Prefetch : public testing::Test {
 protected:
  DataSource source(const std::shared_ptr<const Corpus>& corpus, int64_t seq_len, int64_t vocab_size) const {
    return {std::make_shared<const Dataset>(
                Dataset::Desc{.corpus = corpus, .range = {0, corpus->num_tokens()}, .seq_len = seq_len}),
            {.seed = 5, .vocab_size = vocab_size}};
  }
  const ScratchFolder scratch_;
};

TEST_F(Prefetch, EqualsDirectFilling) {
  const DataSource data = source(counting_corpus(scratch_, 1003), 10, 1003);
  const StepShape step{.rows = 3, .micro_batches = 4};
  for (const int64_t depth : {1, 2, 5})
    for (const std::vector<int64_t>& mine : {std::vector<int64_t>{0, 1, 2, 3}, {2}, {3, 1}, {}})
      for (const int64_t start : {0, 12, 996}) {
        Prefetcher prefetcher(
            data, {.step = step, .micro_batches = mine, .cursor = start, .steps = 25, .depth = depth});
        for (int64_t s = 0; s < 25; ++s) {
          ASSERT_EQ(prefetcher.cursor(), start + s * 12);
          const std::span<const Batch> batches = prefetcher.next();
          ASSERT_EQ(batches.size(), mine.size());
          for (size_t i = 0; i < mine.size(); ++i) {
            Batch direct;
            data.fill(start + s * 12 + mine[i] * 3, 3, direct);
            ASSERT_EQ(batches[i].tokens, direct.tokens) << s;
            ASSERT_EQ(batches[i].targets, direct.targets) << s;
            ASSERT_EQ(batches[i].segment_begin, direct.segment_begin) << s;
          }
        }
        EXPECT_EQ(prefetcher.cursor(), start + 25 * 12);
        EXPECT_THROW(prefetcher.next(), ContractError) << "all steps are delivered";
      }
}

TEST_F(Prefetch, RanksTogetherReadTheStep) {
  const DataSource data = source(counting_corpus(scratch_, 1003), 10, 1003);
  const StepShape step{.rows = 2, .micro_batches = 4};
  Prefetcher all(data, {.step = step, .micro_batches = {0, 1, 2, 3}, .steps = 3});
  Prefetcher rank0(data, {.step = step, .micro_batches = {0, 2}, .steps = 3});
  Prefetcher rank1(data, {.step = step, .micro_batches = {1, 3}, .steps = 3});
  for (int s = 0; s < 3; ++s) {
    const auto whole = all.next(), even = rank0.next(), odd = rank1.next();
    EXPECT_EQ(whole[0].tokens, even[0].tokens);
    EXPECT_EQ(whole[1].tokens, odd[0].tokens);
    EXPECT_EQ(whole[2].tokens, even[1].tokens);
    EXPECT_EQ(whole[3].tokens, odd[1].tokens);
  }
}

TEST_F(Prefetch, AStepStaysWholeWhileLaterOnesAreFilled) {
  const DataSource data = source(counting_corpus(scratch_, 1003), 10, 1003);
  Prefetcher prefetcher(
      data, {.step = {.rows = 4, .micro_batches = 2}, .micro_batches = {0, 1}, .steps = 50, .depth = 3});
  for (int s = 0; s < 50; ++s) {
    const auto batches = prefetcher.next();
    const std::vector<int32_t> copy = batches[0].tokens;
    if (s % 10 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the thread runs as far as it may
    ASSERT_EQ(batches[0].tokens, copy);
  }
}

TEST_F(Prefetch, TheMemoryOfAStepIsUsedAgain) {
  const DataSource data = source(counting_corpus(scratch_, 1003), 10, 1003);
  Prefetcher prefetcher(data, {.step = {.rows = 4, .micro_batches = 1}, .micro_batches = {0}, .steps = 40});
  std::vector<const void*> first, later;
  for (int s = 0; s < 40; ++s) {
    const Batch& batch = prefetcher.next()[0];
    for (const auto* list : {&batch.tokens, &batch.targets, &batch.positions, &batch.segment_begin})
      (s < 2 ? first : later).push_back(list->data());
  }
  for (size_t i = 0; i < later.size(); ++i)
    EXPECT_EQ(later[i], first[i % first.size()]);  // two steps take turns
}

TEST_F(Prefetch, AnErrorArrivesWithItsStep) {
  // In text order, one sample a step: the fifth reads the tokens 290 to 300, and 300 is outside the
  // vocabulary.
  const DataSource data(std::make_shared<const Dataset>(Dataset::Desc{
                            .corpus = counting_corpus(scratch_, 1003), .range = {250, 600}, .seq_len = 10}),
                        {.order = SampleOrder::sequential, .vocab_size = 300});
  for (const int64_t depth : {1, 4, 30}) {
    Prefetcher prefetcher(
        data, {.step = {.rows = 1, .micro_batches = 1}, .micro_batches = {0}, .steps = 20, .depth = depth});
    for (int s = 0; s < 4; ++s) EXPECT_EQ(prefetcher.next()[0].tokens[0], 250 + 10 * s);
    for (int again = 0; again < 3; ++again) {
      const Error error = error_of([&] { prefetcher.next(); });
      EXPECT_EQ(error.fault(), Fault::data);
      EXPECT_EQ(error.report().found, "token 300");
      EXPECT_EQ(prefetcher.cursor(), 4);
    }
  }
}

TEST_F(Prefetch, EndsAtAnyMoment) {
  const DataSource data = source(counting_corpus(scratch_, 1003), 10, 1003);
  for (int taken = 0; taken < 20; ++taken) {
    Prefetcher prefetcher(data, {.step = {.rows = 50, .micro_batches = 2},
                                 .micro_batches = {0, 1},
                                 .steps = INT64_MAX / 1000,
                                 .depth = 1 + taken % 3});
    for (int s = 0; s < taken; ++s) prefetcher.next();
  }
}

TEST_F(Prefetch, AStepMustFitInTheData) {
  const DataSource data = source(counting_corpus(scratch_, 101), 10, 101);
  Prefetcher fits(data, {.step = {.rows = 5, .micro_batches = 2}, .micro_batches = {0}, .steps = 1});
  const Error error = error_of([&] {
    Prefetcher(data, {.step = {.rows = 11, .micro_batches = 1}, .micro_batches = {0}, .steps = 1});
  });
  EXPECT_EQ(error.fault(), Fault::data);
  EXPECT_THAT(error.report().found, HasSubstr("batch.tokens_per_step = 110, 11 samples"));
  EXPECT_THROW(Prefetcher(data, {.step = {.rows = 1, .micro_batches = 2}, .micro_batches = {2}, .steps = 1}),
               ContractError);
}

}  // namespace
}  // namespace strata
