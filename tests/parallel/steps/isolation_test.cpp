// SPDX-License-Identifier: Apache-2.0
// No token sees another document: whatever document 1 says, every logit of document 2 keeps its bits - in the
// whole model, under every way of packing that promises it, on one rank and on two that share the sequence.
//
// A logit is seen through the loss: with one target alone, place t and token v, the loss is
// log(sum of exp(logits of t)) - logit v of t.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <mutex>

#include "core/data/sampler.h"
#include "core/data/token_file_writer.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/step/step_runner.h"
#include "parallel/comm/thread_world.h"
#include "parallel/rank_place.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

struct Case {
  const char* arch;
  Packing packing;
  int cp;
};

constexpr int64_t kSeqLen = 16;
constexpr int32_t kVocab = 100;
using Documents = std::vector<std::vector<int32_t>>;

// Both documents of a row of 16; what is between them, and behind the second, depends on the packing.
Documents documents(int32_t of_first) {
  Documents all(3);
  for (int32_t i = 0; i < 7; ++i) all[0].push_back((of_first * (i + 1) + i * i) % kVocab);
  for (int32_t i = 0; i < 8; ++i) all[1].push_back((31 * i + 5) % kVocab);
  for (int32_t i = 0; i < 14; ++i) all[2].push_back((17 * i + 3) % kVocab);
  return all;
}

Batch row_of(const Documents& documents, Packing packing) {
  const std::filesystem::path prefix =
      std::filesystem::temp_directory_path() / fmt::format("strata-isolation-{}", getpid());
  TokenFileWriter writer(prefix, {.existing = Existing::replace});
  for (const auto& document : documents) {
    writer.append(document);
    writer.end_document();
  }
  writer.commit();
  std::vector<TokenFile> files;
  files.emplace_back(prefix);
  const auto corpus = std::make_shared<const Corpus>(std::move(files));
  const DataSource source(
      std::make_shared<const Dataset>(Dataset::Desc{
          .corpus = corpus, .range = {0, corpus->num_tokens()}, .seq_len = kSeqLen, .packing = packing}),
      {.order = SampleOrder::sequential, .vocab_size = kVocab});
  Batch batch;
  source.fill(0, 1, batch);
  std::filesystem::remove(bin_path(prefix));
  std::filesystem::remove(idx_path(prefix));
  return batch;
}

// Losses of the batch with each one of the targets alone, in units of the loss sum.
std::vector<double> losses(const Case& c, Batch batch,
                           const std::vector<std::pair<int64_t, int32_t>>& targets) {
  std::vector<double> result;
  std::mutex mutex;
  run_ranks(c.cp, [&](World& world) {
    RankPlace place(world, {.mesh = {.cp = c.cp}, .partition = {c.cp, c.cp, c.cp}}, true);
    ModelSpec spec = c.arch == std::string("gpt2") ? small_gpt2() : small_llama(true);
    const Model model = make_model(spec, DType::f32, place.split());
    const StepPlan plan(model,
                        {.geometry = {.rows = 1, .seq_len = place.local_seq_len(kSeqLen), .micro_batches = 1},
                         .rank = place.rank_options(model)});
    WorkerPool pool(1), alone(1);
    CpuStream stream(pool), communication(alone);
    const auto allocator = make_cpu_allocator();
    StepRunner runner(plan, {stream, &communication}, *allocator);
    runner.initialize(7);
    for (const auto& [at, token] : targets) {
      Batch one = batch;
      std::fill(one.targets.begin(), one.targets.end(), kNoTarget);
      one.targets[static_cast<size_t>(at)] = token;
      one.num_targets = 1;
      const double loss = runner.evaluate(place.part_of(one)).mean();
      const std::lock_guard lock(mutex);
      if (world.rank() == 0) result.push_back(loss);
    }
  });
  return result;
}

class Isolation : public testing::TestWithParam<Case> {};

TEST_P(Isolation, DocumentOneMovesNoLogitOfDocumentTwo) {
  const Case c = GetParam();
  const Batch one = row_of(documents(11), c.packing), other = row_of(documents(42), c.packing);
  ASSERT_EQ(one.segment_begin, other.segment_begin);
  // The places where the rows differ are document 1's; where they are the same after them, document 2's.
  std::vector<std::pair<int64_t, int32_t>> first, second;
  int64_t first_end = 0;
  for (int64_t t = 0; t < kSeqLen; ++t)
    if (one.tokens[static_cast<size_t>(t)] != other.tokens[static_cast<size_t>(t)]) first_end = t + 1;
  ASSERT_GE(first_end, 4);
  ASSERT_LE(first_end, kSeqLen - 7);
  for (const int32_t token : {0, 1, 37, 99}) {
    first.emplace_back(first_end - 1, token);
    for (int64_t t = first_end + 1; t < kSeqLen; ++t) second.emplace_back(t, token);
  }
  EXPECT_NE(losses(c, one, first), losses(c, other, first)) << "document 1 itself must show the change";
  if (c.packing == Packing::concat)  // promises nothing: the test can see a leak
    EXPECT_NE(losses(c, one, second), losses(c, other, second));
  else
    EXPECT_EQ(losses(c, one, second), losses(c, other, second));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* arch : {"llama", "gpt2"})
    for (const Packing packing : {Packing::isolated, Packing::concat, Packing::best_fit})
      for (const int cp : {1, 2, 4}) all.push_back({arch, packing, cp});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Table, Isolation, testing::ValuesIn(cases()), [](const auto& info) {
  const Case& c = info.param;
  const char* packing = c.packing == Packing::isolated ? "isolated"
                        : c.packing == Packing::concat ? "concat"
                                                       : "best_fit";
  return fmt::format("{}_{}_cp{}", c.arch, packing, c.cp);
});

}  // namespace
}  // namespace strata
