// SPDX-License-Identifier: Apache-2.0
// Masks beside token files: bits against a list, damage, stale masks; batches with masks against a plain
// reference; what a dataset teaches against what its batches hold.
#include "core/data/loss_mask.h"

#include <random>

#include "core/base/check.h"
#include "core/data/sampler.h"
#include "core/data/supervision.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A token is its id; odd ids are learned.
TokenFile write_odd(const std::filesystem::path& prefix, const Documents& documents,
                    Existing existing = Existing::refuse) {
  TokenFileWriter writer(prefix, {.existing = existing, .mask = true});
  for (const auto& document : documents) {
    for (const int32_t id : document) writer.append({&id, 1}, id % 2 == 1);
    writer.end_document();
  }
  writer.commit();
  return TokenFile(prefix);
}

TEST(LossMask, HasABitForEachToken) {
  for (const int32_t n : {1, 7, 8, 9, 15, 16, 17, 1000}) {
    const ScratchFolder scratch;
    std::mt19937 random(static_cast<unsigned>(n));
    std::vector<int32_t> ids(static_cast<size_t>(n));
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % 100);
    ids[0] = 2;  // not all are learned
    const TokenFile file = write_odd(scratch / "a", {ids});
    ASSERT_TRUE(file.has_mask());
    EXPECT_EQ(std::filesystem::file_size(scratch / "a.mask"), 40u + (static_cast<unsigned>(n) + 7) / 8);
    for (int64_t begin : {0, 1, 5, 8, n / 2, n - 1})
      for (int64_t end : {begin, begin + 1, begin + 13, int64_t{n}}) {
        if (begin < 0 || begin >= n || end > n) continue;
        std::vector<int32_t> expected(ids.begin() + begin, ids.begin() + end), hidden = expected;
        for (int32_t& id : expected) id = id % 2 == 1 ? id : -1;
        file.hide_unlearned(begin, hidden, -1);
        EXPECT_EQ(hidden, expected) << n << " " << begin << " " << end;
        EXPECT_EQ(file.count_learned(begin, end),
                  std::count_if(expected.begin(), expected.end(), [](int32_t id) { return id >= 0; }));
      }
  }
}

TEST(LossMask, IsNotWrittenWhenAllIsLearned) {
  const ScratchFolder scratch;
  EXPECT_FALSE(write_odd(scratch / "a", {{1, 3}, {5}}).has_mask());
  EXPECT_THAT(scratch.names(), ElementsAre("a.bin", "a.idx"));
}

TEST(LossMask, LeavesThePairAsItIsWithout) {
  const ScratchFolder scratch;
  write_odd(scratch / "a", {{1, 2, 3}, {4, 5}});
  write_tokens(scratch / "b", {{1, 2, 3}, {4, 5}});
  EXPECT_EQ(slurp(scratch / "a.bin"), slurp(scratch / "b.bin"));
  EXPECT_EQ(slurp(scratch / "a.idx"), slurp(scratch / "b.idx"));
  EXPECT_THAT(scratch.names(), ElementsAre("a.bin", "a.idx", "a.mask", "b.bin", "b.idx"));
}

TEST(LossMask, AnOldOneGoesWithItsTokens) {
  const ScratchFolder scratch;
  const uint64_t masked = write_odd(scratch / "a", {{1, 2}}).fingerprint();
  EXPECT_THROW(write_tokens(scratch / "a", {{1, 2}}), Error);  // is there already
  const TokenFile plain = write_tokens(scratch / "a", {{1, 2}}, {.existing = Existing::replace});
  EXPECT_FALSE(plain.has_mask());
  EXPECT_NE(plain.fingerprint(), masked);
  std::filesystem::remove(scratch / "a.bin");
  std::filesystem::remove(scratch / "a.idx");
  spit(scratch / "a.mask", "mine");
  EXPECT_THROW(write_tokens(scratch / "a", {{1, 2}}), Error);
}

TEST(LossMask, DamageIsNamed) {
  const ScratchFolder scratch;
  write_odd(scratch / "a", {{1, 2, 3, 4}, {5, 6, 7, 8, 9}});
  const std::string good = slurp(scratch / "a.mask");
  ASSERT_EQ(good.size(), 42u);
  const auto refused = [&](std::string bytes) {
    spit(scratch / "a.mask", bytes);
    return error_of([&] { TokenFile file(scratch / "a"); });
  };
  for (size_t at = 0; at < good.size(); ++at)  // any flipped bit
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      EXPECT_EQ(refused(bytes).fault(), Fault::data) << at << " " << bit;
    }
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(refused(good.substr(0, size)).fault(), Fault::data);
  EXPECT_THAT(refused(good + "x").report().what, HasSubstr("too long"));
  EXPECT_THAT(refused("").report().where, HasSubstr("a.mask, byte 0"));
  // The same number of tokens in other documents.
  write_odd(scratch / "b", {{1, 2, 3}, {4, 5, 6, 7, 8, 9}});
  EXPECT_THAT(refused(slurp(scratch / "b.mask")).report().what, HasSubstr("other documents"));
  spit(scratch / "a.mask", good);
  EXPECT_TRUE(TokenFile(scratch / "a").has_mask());
}

std::shared_ptr<const Dataset> dataset(std::shared_ptr<const Corpus> corpus, TokenRange range,
                                       int64_t seq_len, Packing packing = Packing::isolated) {
  return std::make_shared<const Dataset>(
      Dataset::Desc{.corpus = std::move(corpus), .range = range, .seq_len = seq_len, .packing = packing});
}

Batch first_rows(const std::shared_ptr<const Dataset>& data, int64_t rows) {
  Batch batch;
  DataSource(data, {.order = SampleOrder::sequential, .vocab_size = 100}).fill(0, rows, batch);
  return batch;
}

TEST(MaskedBatches, KeepMasksWithTheirTokens) {
  const ScratchFolder scratch;
  std::vector<TokenFile> files;
  files.push_back(write_odd(scratch / "a", {{1, 2, 3}, {4, 5}}));
  files.push_back(write_tokens(scratch / "b", {{6, 8}, {10, 12, 14}}));  // without a mask: all learned
  files.push_back(write_odd(scratch / "c", {{16, 18, 21}}));
  const auto corpus = std::make_shared<const Corpus>(std::move(files));
  const TokenRange all{0, corpus->num_tokens()};
  const Batch isolated = first_rows(dataset(corpus, all, 4), 3);
  EXPECT_THAT(isolated.tokens, ElementsAre(1, 2, 3, 4, /**/ 5, 6, 8, 10, /**/ 12, 14, 16, 18));
  EXPECT_THAT(isolated.targets, ElementsAre(-1, 3, -1, 5, /**/ -1, 8, -1, 12, /**/ 14, -1, -1, 21));
  EXPECT_EQ(isolated.num_targets, 6);
  const Batch concat = first_rows(dataset(corpus, all, 4, Packing::concat), 3);
  EXPECT_THAT(concat.targets, ElementsAre(-1, 3, -1, 5, /**/ 6, 8, 10, 12, /**/ 14, -1, -1, 21));
  EXPECT_EQ(concat.num_targets, 8);
}

TEST(MaskedBatches, TheCountIsThatOfTheBatches) {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    const ScratchFolder scratch;
    Documents documents(1 + random() % 12);
    for (auto& document : documents) {
      document.resize(1 + random() % 9);
      for (int32_t& id : document) id = static_cast<int32_t>(random() % 4 == 0 ? 1 : 2);
    }
    documents[0].resize(12, 2);  // a sample at least, not all learned
    std::vector<TokenFile> files;
    files.push_back(write_odd(scratch / "a", documents));
    const auto corpus = std::make_shared<const Corpus>(std::move(files));
    const int64_t begin = random() % 3, seq_len = 1 + random() % 8;
    for (const Packing packing : {Packing::isolated, Packing::concat, Packing::best_fit}) {
      const auto data = dataset(corpus, {begin, corpus->num_tokens()}, seq_len, packing);
      const Batch batch = first_rows(data, data->num_samples());
      EXPECT_EQ(count_supervision(*data).learned, batch.num_targets)
          << round << " packing " << static_cast<int>(packing) << " seq_len " << seq_len;
    }
  }
}

TEST(Supervision, NamesWhatTeachesNothingAndWhatIsCut) {
  const ScratchFolder scratch;
  std::vector<TokenFile> files;
  // Samples of 4: the second document begins in the first and is learned in the second.
  files.push_back(write_odd(scratch / "a", {{2, 3}, {2, 2, 2, 2, 3}, {2, 2}, {2, 3, 2, 2}}));
  const auto corpus = std::make_shared<const Corpus>(std::move(files));
  const auto data = dataset(corpus, {0, corpus->num_tokens()}, 4);
  const Supervision found = count_supervision(*data);
  EXPECT_EQ(found.documents, 4);
  EXPECT_EQ(found.tokens, 1 + 4 + 1 + 3);
  EXPECT_EQ(found.learned, 3);
  EXPECT_EQ(found.unlearned, 1);
  EXPECT_EQ(found.cut, 1);
  require_supervision(found, *data);
}

TEST(Supervision, NothingLearnedIsRefusedWithNumbers) {
  const ScratchFolder scratch;
  std::vector<TokenFile> files;
  files.push_back(write_odd(scratch / "a", {{2, 2, 2}, {2, 2, 3}}));
  const auto corpus = std::make_shared<const Corpus>(std::move(files));
  const auto data = dataset(corpus, {0, 5}, 4);  // the only learned token is behind the range
  const Error error = error_of([&] { require_supervision(count_supervision(*data), *data); });
  EXPECT_EQ(error.fault(), Fault::data);
  EXPECT_THAT(error.report().what, HasSubstr("nothing would be learned"));
  EXPECT_THAT(error.report().found, HasSubstr("2 documents, 3 tokens in 1 samples"));
  EXPECT_THAT(error.report().fix, HasSubstr("strata data show"));
}

}  // namespace
}  // namespace strata
