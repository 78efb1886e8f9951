// SPDX-License-Identifier: Apache-2.0
// Wrong set-ups and what each is told, word for word: the equation with its numbers, the key, and what is
// legal.
#include <gtest/gtest.h>

#include <string>

#include "parallel/layout.h"

namespace strata {
namespace {

const ModelFacts kModel{.layers = 24, .heads = 16, .kv_heads = 8, .ffn = 4096, .vocab = 50432};
const ModelFacts kExperts{
    .layers = 24, .heads = 16, .kv_heads = 8, .ffn = 4096, .vocab = 50432, .experts = 8, .expert_ffn = 1024};
const BatchFacts kBatch{.tokens_per_step = 262144, .micro_batch = 2, .seq_len = 2048};

std::string refusal(const LayoutRequest& request, const ModelFacts& model = kModel,
                    const BatchFacts& batch = kBatch) {
  try {
    (void)decide_layout(request, model, batch);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    return error.what();
  }
  return "not refused";
}

TEST(LayoutRefusals, SizesAndRanks) {
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.tp = 0}}),
            R"(tp is not a number of ranks
  where:    parallel.tp
  found:    0
  expected: at least 1
  fix:      a layout of 8 ranks:
              pp 1 x dp 8 x cp 1 x tp 1
              pp 1 x dp 4 x cp 1 x tp 2
              pp 1 x dp 2 x cp 1 x tp 4)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = -1}}),
            R"(dp is not a number of ranks
  where:    parallel.dp
  found:    -1
  expected: at least 1, or "auto"
  fix:      a layout of 8 ranks:
              pp 1 x dp 8 x cp 1 x tp 1
              pp 1 x dp 4 x cp 1 x tp 2
              pp 1 x dp 4 x cp 2 x tp 1)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.pp = 2, .dp = 2, .tp = 3}}),
            R"(the sizes make up 12 ranks, there are 8
  where:    parallel.tp
  found:    pp 2 x dp 2 x cp 1 x tp 3 = 12
  expected: pp x dp x cp x tp = ranks 8
  fix:      start 12 ranks, or a layout of 8 ranks:
              pp 2 x dp 2 x cp 1 x tp 2
              pp 1 x dp 2 x cp 1 x tp 4
              pp 2 x dp 1 x cp 1 x tp 4)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .tp = 3}}),
            R"(the sizes do not divide the ranks
  where:    parallel.tp
  found:    ranks 8 / (pp 1 x cp 1 x tp 3 = 3) = 2 remainder 2
  expected: ranks = pp x cp x tp x dp
  fix:      start 6 or 9 ranks, or a layout of 8 ranks:
              pp 1 x dp 2 x cp 1 x tp 4
              pp 1 x dp 4 x cp 1 x tp 2
              pp 1 x dp 1 x cp 1 x tp 8)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.pp = 4, .dp = 0, .tp = 4}}),
            R"(the sizes need 16 ranks, there are 8
  where:    parallel.pp, parallel.tp
  found:    ranks 8 / (pp 4 x cp 1 x tp 4 = 16) is below 1
  expected: ranks = pp x cp x tp x dp
  fix:      start 16 ranks, or a layout of 8 ranks:
              pp 2 x dp 1 x cp 1 x tp 4
              pp 4 x dp 1 x cp 1 x tp 2
              pp 1 x dp 2 x cp 1 x tp 4)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .tp = 16}}),
            R"(the sizes need 16 ranks, there are 8
  where:    parallel.tp
  found:    ranks 8 / (pp 1 x cp 1 x tp 16 = 16) is below 1
  expected: ranks = pp x cp x tp x dp
  fix:      start 16 ranks, or a layout of 8 ranks:
              pp 1 x dp 1 x cp 1 x tp 8
              pp 1 x dp 2 x cp 1 x tp 4
              pp 1 x dp 4 x cp 1 x tp 2)");
  EXPECT_EQ(refusal({.ranks = 24, .sizes = {.pp = 8, .dp = 0, .cp = 2}}),
            R"(the sizes do not divide the ranks
  where:    parallel.pp, parallel.cp
  found:    ranks 24 / (pp 8 x cp 2 x tp 1 = 16) = 1 remainder 8
  expected: ranks = pp x cp x tp x dp
  fix:      start 16 or 32 ranks, or a layout of 24 ranks:
              pp 6 x dp 2 x cp 2 x tp 1
              pp 12 x dp 1 x cp 2 x tp 1
              pp 3 x dp 4 x cp 2 x tp 1)");
}

TEST(LayoutRefusals, Model) {
  EXPECT_EQ(refusal({.ranks = 3, .sizes = {.dp = 1, .tp = 3}}),
            R"(tensor parallelism cannot split the model's heads
  where:    parallel.tp
  found:    heads 16 / tp 3 = 5 remainder 1
  expected: tp that divides heads 16, kv_heads 8, ffn 4096 and vocab 50432: 1, 2, 4, 8
  fix:      a layout of 3 ranks:
              pp 3 x dp 1 x cp 1 x tp 1)");
  EXPECT_EQ(refusal({.ranks = 16, .sizes = {.dp = 1, .tp = 16}}),
            R"(tensor parallelism cannot split the model's kv_heads
  where:    parallel.tp
  found:    kv_heads 8 / tp 16 = 0 remainder 8
  expected: tp that divides heads 16, kv_heads 8, ffn 4096 and vocab 50432: 1, 2, 4, 8
  fix:      a layout of 16 ranks:
              pp 1 x dp 2 x cp 1 x tp 8
              pp 1 x dp 1 x cp 2 x tp 8
              pp 2 x dp 1 x cp 1 x tp 8)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .tp = 8}}, {24, 16, 8, 4100, 50432}),
            R"(tensor parallelism cannot split the model's ffn
  where:    parallel.tp
  found:    ffn 4100 / tp 8 = 512 remainder 4
  expected: tp that divides heads 16, kv_heads 8, ffn 4100 and vocab 50432: 1, 2, 4
  fix:      a layout of 8 ranks:
              pp 1 x dp 2 x cp 1 x tp 4
              pp 1 x dp 4 x cp 1 x tp 2
              pp 1 x dp 1 x cp 2 x tp 4)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .tp = 8}}, {24, 16, 8, 4096, 50257}),
            R"(tensor parallelism cannot split the model's vocab
  where:    parallel.tp
  found:    vocab 50257 / tp 8 = 6282 remainder 1
  expected: tp that divides heads 16, kv_heads 8, ffn 4096 and vocab 50257: 1
  fix:      a layout of 8 ranks:
              pp 1 x dp 8 x cp 1 x tp 1
              pp 1 x dp 4 x cp 2 x tp 1
              pp 2 x dp 4 x cp 1 x tp 1)");
}

TEST(LayoutRefusals, Experts) {
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .ep = 2}}),
            R"(expert parallelism needs a model with experts
  where:    parallel.ep
  found:    ep 2 x etp 1, experts 0
  expected: ep = etp = 1
  fix:      a layout of 8 ranks:
              pp 1 x dp 8 x cp 1 x tp 1
              pp 1 x dp 4 x cp 1 x tp 2
              pp 1 x dp 4 x cp 2 x tp 1)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .ep = 3}}, kExperts),
            R"(expert parallelism cannot split the model's experts
  where:    parallel.ep
  found:    experts 8 / ep 3 = 2 remainder 2
  expected: ep that divides experts 8
  fix:      a layout of 8 ranks:
              pp 1 x dp 8 x cp 1 x tp 1, ep 4
              pp 1 x dp 8 x cp 1 x tp 1, ep 2
              pp 1 x dp 8 x cp 1 x tp 1, ep 8)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.pp = 4, .dp = 0, .ep = 4}}, kExperts),
            R"(the expert groups do not fit into a pipeline stage's ranks
  where:    parallel.ep
  found:    dp 2 x cp 1 x tp 1 = 2 / (ep 4 x etp 1 = 4) = 0 remainder 2
  expected: dp x cp x tp = ep x etp x whole number
  fix:      a layout of 8 ranks:
              pp 2 x dp 4 x cp 1 x tp 1, ep 4
              pp 4 x dp 2 x cp 1 x tp 1, ep 2
              pp 1 x dp 8 x cp 1 x tp 1, ep 4)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .ep = 4, .etp = 3}}, kExperts),
            R"(tensor parallelism of experts cannot split their ffn
  where:    parallel.etp
  found:    expert_ffn 1024 / etp 3 = 341 remainder 1
  expected: etp that divides expert_ffn 1024
  fix:      a layout of 8 ranks:
              pp 1 x dp 8 x cp 1 x tp 1, ep 4
              pp 1 x dp 8 x cp 1 x tp 1, ep 2
              pp 1 x dp 8 x cp 1 x tp 1, ep 8)");
}

TEST(LayoutRefusals, Pipeline) {
  EXPECT_EQ(refusal({.ranks = 10, .sizes = {.pp = 5, .dp = 0}}),
            R"(the layers do not divide evenly among the pipeline's stages
  where:    parallel.pp
  found:    layers 24 / pp 5 = 4 remainder 4
  expected: layers = pp x virtual_stages x whole number
  fix:      8 or 12 ranks: no layout of 10 fits this model and batch)");
  EXPECT_EQ(
      refusal({.ranks = 8, .sizes = {.pp = 4, .dp = 0}, .virtual_stages = 4, .schedule = "interleaved"}),
      R"(the layers do not divide evenly among the pipeline's stages
  where:    parallel.pp, parallel.virtual_stages
  found:    layers 24 / (pp 4 x virtual_stages 4 = 16) = 1 remainder 8
  expected: layers = pp x virtual_stages x whole number
  fix:      a layout of 8 ranks:
              pp 4 x dp 2 x cp 1 x tp 1, virtual_stages 3
              pp 4 x dp 2 x cp 1 x tp 1, virtual_stages 6
              pp 2 x dp 4 x cp 1 x tp 1, virtual_stages 4)");
  EXPECT_EQ(
      refusal({.ranks = 8, .sizes = {.pp = 1, .dp = 0}, .virtual_stages = 2, .schedule = "interleaved"}),
      R"(virtual stages need a pipeline
  where:    parallel.virtual_stages
  found:    virtual_stages 2, pp 1
  expected: virtual_stages = 1 with pp = 1
  fix:      parallel.virtual_stages = 1, or a layout of 8 ranks:
              pp 1 x dp 8 x cp 1 x tp 1
              pp 2 x dp 4 x cp 1 x tp 1, virtual_stages 2
              pp 2 x dp 4 x cp 1 x tp 1, virtual_stages 3)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.pp = 4, .dp = 0}, .virtual_stages = 2, .schedule = "1f1b"}),
            R"(schedule 1f1b has one stage per rank
  where:    parallel.virtual_stages
  found:    2
  expected: 1
  fix:      parallel.virtual_stages = 1, or parallel.schedule = "interleaved", or a layout of 8 ranks:
              pp 4 x dp 2 x cp 1 x tp 1
              pp 2 x dp 4 x cp 1 x tp 1
              pp 4 x dp 1 x cp 1 x tp 2)");
}

TEST(LayoutRefusals, SequenceAndBatch) {
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .cp = 4}}, kModel, {2012 * 2 * 8, 2, 2012}),
            R"(context parallelism cannot split the sequence
  where:    parallel.cp
  found:    seq_len 2012 / (2 x cp 4 = 8) = 251 remainder 4
  expected: seq_len = 2 x cp x whole number
  fix:      data.seq_len = 2008 or 2016, or a layout of 8 ranks:
              pp 1 x dp 4 x cp 2 x tp 1
              pp 1 x dp 8 x cp 1 x tp 1
              pp 1 x dp 2 x cp 2 x tp 2)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0, .tp = 8}, .sequence_parallel = true}, kModel,
                    {2012 * 2 * 8, 2, 2012}),
            R"(sequence parallelism cannot split a rank's sequence
  where:    parallel.tp
  found:    seq_len 2012 / cp 1 = 2012 / tp 8 = 251 remainder 4
  expected: seq_len = cp x tp x whole number
  fix:      data.seq_len = 2008 or 2016, or parallel.sequence_parallel = false, or a layout of 8 ranks:
              pp 1 x dp 2 x cp 1 x tp 4
              pp 1 x dp 4 x cp 1 x tp 2
              pp 2 x dp 1 x cp 1 x tp 4)");
  EXPECT_EQ(refusal({.ranks = 6, .sizes = {.dp = 0}}),
            R"(the step's tokens are not whole micro-batches for every data-parallel rank
  where:    batch.tokens_per_step
  found:    tokens_per_step 262144 / (micro_batch 2 x seq_len 2048 x dp 6 = 24576) = 10 remainder 16384
  expected: tokens_per_step = micro_batch x seq_len x dp x whole number
  fix:      batch.tokens_per_step = 245760 or 270336, or a layout of 6 ranks:
              pp 3 x dp 2 x cp 1 x tp 1
              pp 3 x dp 1 x cp 1 x tp 2
              pp 3 x dp 1 x cp 2 x tp 1)");
  EXPECT_EQ(refusal({.ranks = 7, .sizes = {.dp = 0}}),
            R"(the step's tokens are not whole micro-batches for every data-parallel rank
  where:    batch.tokens_per_step
  found:    tokens_per_step 262144 / (micro_batch 2 x seq_len 2048 x dp 7 = 28672) = 9 remainder 4096
  expected: tokens_per_step = micro_batch x seq_len x dp x whole number
  fix:      batch.tokens_per_step = 258048 or 286720, or 6 or 8 ranks: no layout of 7 fits this model and batch)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.pp = 4, .dp = 0}}, kModel, {2048 * 4, 2, 2048}),
            R"(there are fewer micro-batches than pipeline ranks: some would always idle
  where:    batch.micro_batch
  found:    tokens_per_step 8192 / (micro_batch 2 x seq_len 2048 x dp 2) = micro-batches 1, pp 4
  expected: at least 4 micro-batches per step
  fix:      batch.tokens_per_step = 32768, or a layout of 8 ranks:
              pp 2 x dp 1 x cp 1 x tp 4
              pp 2 x dp 1 x cp 2 x tp 2
              pp 2 x dp 1 x cp 4 x tp 1)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.pp = 4, .dp = 0}, .virtual_stages = 2, .schedule = "interleaved"},
                    kModel, {2048 * 2 * 12, 2, 2048}),
            R"(schedule interleaved takes micro-batches in rounds, one for each rank
  where:    batch.micro_batch
  found:    tokens_per_step 49152 / (micro_batch 2 x seq_len 2048 x dp 2) = micro-batches 6, pp 4
  expected: micro-batches = pp x whole number
  fix:      batch.tokens_per_step = 32768 or 65536, or a layout of 8 ranks:
              pp 4 x dp 1 x cp 1 x tp 2, virtual_stages 2
              pp 4 x dp 1 x cp 2 x tp 1, virtual_stages 2
              pp 4 x dp 1 x cp 1 x tp 2, virtual_stages 3)");
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.pp = 2, .dp = 0}, .schedule = "1fb1"}),
            R"(there is no such pipeline schedule
  where:    parallel.schedule
  found:    1fb1
  expected: 1f1b, gpipe, interleaved, zb-h1, zb-h2
  fix:      parallel.schedule = "1f1b")");
  EXPECT_EQ(refusal({.ranks = 1009, .sizes = {.dp = 0}}),
            R"(the step's tokens are not whole micro-batches for every data-parallel rank
  where:    batch.tokens_per_step
  found:    tokens_per_step 262144 / (micro_batch 2 x seq_len 2048 x dp 1009 = 4132864) = 0 remainder 262144
  expected: tokens_per_step = micro_batch x seq_len x dp x whole number
  fix:      batch.tokens_per_step = 4132864, or 1024 ranks: no layout of 1009 fits this model and batch)");
  EXPECT_EQ(refusal({.ranks = 10240,
                     .sizes = {.pp = 16, .dp = 0, .tp = 16},
                     .virtual_stages = 3,
                     .schedule = "interleaved"}),
            R"(tensor parallelism cannot split the model's kv_heads
  where:    parallel.tp
  found:    kv_heads 8 / tp 16 = 0 remainder 8
  expected: tp that divides heads 16, kv_heads 8, ffn 4096 and vocab 50432: 1, 2, 4, 8
  fix:      8192 ranks: no layout of 10240 fits this model and batch)");
  // Six samples, nothing else to split.
  EXPECT_EQ(refusal({.ranks = 8, .sizes = {.dp = 0}}, {}, {.tokens_per_step = 6}),
            R"(the step's tokens are not whole micro-batches for every data-parallel rank
  where:    batch.tokens_per_step
  found:    tokens_per_step 6 / (micro_batch 1 x seq_len 1 x dp 8 = 8) = 0 remainder 6
  expected: tokens_per_step = micro_batch x seq_len x dp x whole number
  fix:      batch.tokens_per_step = 8, or 6 ranks: no layout of 8 fits this model and batch)");
}

}  // namespace
}  // namespace strata
