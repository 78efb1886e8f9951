// SPDX-License-Identifier: Apache-2.0
// Attention whose keys go round a ring against the double-precision reference on whole sequences, and the
// parts of a batch against the definition of what a token sees.
#include "parallel/boundaries/kv_ring.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "core/device/cpu/cpu_stream.h"
#include "core/nn/attend.h"
#include "core/ops/elementwise.h"
#include "parallel/boundaries/context_batch.h"
#include "parallel/comm/thread_world.h"
#include "tests/parallel/boundaries/layout_run.h"
#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

// The tokens of a part, as places in the whole batch.
std::vector<int64_t> tokens_of(const Batch& batch, int parts, int part) {
  Batch numbered = batch;
  std::iota(numbered.tokens.begin(), numbered.tokens.end(), 0);
  const Batch cut = context_part(numbered, parts, part);
  return {cut.tokens.begin(), cut.tokens.end()};
}

TEST(ContextPart, QueriesSeeTheirDocumentsUpToThemselves) {
  for (const int parts : {2, 3, 4})
    for (const int64_t chunk : {1, 2, 5}) {
      const Batch batch = packed_batch(3, 2 * parts * chunk, 50);
      std::vector<size_t> document;
      for (size_t d = 0; d + 1 < batch.segment_begin.size(); ++d)
        document.resize(static_cast<size_t>(batch.segment_begin[d + 1]), d);
      std::set<std::pair<int64_t, int64_t>> expected, seen;
      for (size_t q = 0; q < document.size(); ++q)
        for (size_t k = 0; k <= q; ++k)
          if (document[q] == document[k]) expected.insert({q, k});
      std::multiset<int64_t> all;
      std::set<int64_t> pairs_of_rank;  // of the row that is one document
      for (int part = 0; part < parts; ++part) {
        const Batch cut = context_part(batch, parts, part);
        const std::vector<int64_t> queries = tokens_of(batch, parts, part);
        ASSERT_EQ(static_cast<int64_t>(queries.size()), cut.rows * cut.seq_len);
        ASSERT_EQ(cut.visits.size(), static_cast<size_t>(parts));
        all.insert(queries.begin(), queries.end());
        int64_t targets = 0;
        for (size_t i = 0; i < queries.size(); ++i) {
          const auto at = static_cast<size_t>(queries[i]);
          EXPECT_EQ(cut.tokens[i], batch.tokens[at]);
          EXPECT_EQ(cut.targets[i], batch.targets[at]);
          EXPECT_EQ(cut.positions[i], batch.positions[at]);
          targets += batch.targets[at] != kNoTarget;
        }
        EXPECT_EQ(cut.num_targets, targets);
        int64_t pairs = 0;
        for (int visit = 0; visit < parts; ++visit) {
          const std::vector<int64_t> keys = tokens_of(batch, parts, visiting_piece(part, parts, visit));
          int32_t next = 0;  // every query exactly once
          for (const AttentionSegment& s : cut.visits[static_cast<size_t>(visit)]) {
            EXPECT_EQ(s.q_begin, next);
            next += s.q_count;
            for (int32_t i = 0; i < s.q_count; ++i)
              for (int32_t j = 0; j < s.k_count && j <= i + s.diagonal; ++j) {
                const int64_t query = queries[static_cast<size_t>(s.q_begin + i)];
                EXPECT_TRUE(seen.insert({query, keys[static_cast<size_t>(s.k_begin + j)]}).second);
                pairs += query < batch.seq_len;
              }
          }
          EXPECT_EQ(next, static_cast<int64_t>(queries.size()));
        }
        pairs_of_rank.insert(pairs);
      }
      EXPECT_EQ(seen, expected);
      EXPECT_EQ(all.size(), batch.tokens.size());
      EXPECT_EQ(std::set(all.begin(), all.end()).size(), batch.tokens.size());
      EXPECT_EQ(pairs_of_rank.size(), 1u) << "ranks have different amounts of attention to do";
    }
}

TEST(ContextPart, OnePartIsTheBatch) {
  const Batch batch = packed_batch(2, 8, 50), cut = context_part(batch, 1, 0);
  EXPECT_EQ(cut.tokens, batch.tokens);
  EXPECT_EQ(cut.segment_begin, batch.segment_begin);
  EXPECT_TRUE(cut.visits.empty());
  EXPECT_THROW(context_part(batch, 3, 0), ContractError);
}

struct Case {
  int parts;
  int64_t rows, seq_len, heads, kv_heads, head_dim;
  DType type;
};

class Ring : public testing::TestWithParam<Case> {};

// Rows of `x` that a part holds, and back.
Tensor take_rows(TestTensors& t, const Tensor& x, const std::vector<int64_t>& rows) {
  const Tensor y = t.uninitialised(x.dtype(), {static_cast<int64_t>(rows.size()), x.dim(1)});
  const Matrix values = to_matrix(x);
  for (size_t i = 0; i < rows.size(); ++i)
    for (int64_t j = 0; j < x.dim(1); ++j)
      set_element(y, static_cast<int64_t>(i), j, static_cast<float>(values(rows[i], j)));
  return y;
}
void put_rows(const Tensor& x, const std::vector<int64_t>& rows, const Tensor& whole) {
  const Matrix values = to_matrix(x);
  for (size_t i = 0; i < rows.size(); ++i)
    for (int64_t j = 0; j < x.dim(1); ++j)
      set_element(whole, rows[i], j, static_cast<float>(values(static_cast<int64_t>(i), j)));
}

TEST_P(Ring, AttentionIsThatOfTheWhole) {
  const Case c = GetParam();
  const Batch batch = packed_batch(c.rows, c.seq_len, 50);
  const int64_t tokens = c.rows * c.seq_len, q_width = c.heads * c.head_dim,
                kv_width = c.kv_heads * c.head_dim;
  const float scale = 1 / std::sqrt(static_cast<float>(c.head_dim));
  TestTensors t;
  const Tensor q = t.normal(c.type, {tokens, q_width}), k = t.normal(c.type, {tokens, kv_width});
  const Tensor v = t.normal(c.type, {tokens, kv_width}), dout = t.normal(c.type, {tokens, q_width});
  const Tensor out = t.uninitialised(c.type, q.shape()), dq = t.uninitialised(c.type, q.shape());
  const Tensor dk = t.uninitialised(c.type, k.shape()), dv = t.uninitialised(c.type, k.shape());
  const Tensor lse = t.uninitialised(DType::f32, {tokens, c.heads});

  run_ranks(c.parts, [&](World& world) {
    const int part = world.rank();
    std::vector<int> members(static_cast<size_t>(c.parts));
    std::iota(members.begin(), members.end(), 0);
    const auto context = world.group({"context", members, LinkLevel::node});
    const KvRing ring(*context);
    const Batch cut = context_part(batch, c.parts, part);
    const std::vector<int64_t> rows = tokens_of(batch, c.parts, part);
    WorkerPool pool(1);
    CpuStream stream(pool);
    std::vector<std::vector<AttentionSegment>> visits;
    attention_visits(cut, visits);
    const TokenBatch token_batch{.segments = visits[0], .visits = std::span(visits).subspan(1)};
    const BoundarySet boundaries;
    Context ctx{.stream = stream,
                .batch = token_batch,
                .boundaries = boundaries,
                .linear = plain_linear_op(),
                .rope = {},
                .keys = &ring};
    TestTensors own;
    // Keys and values, and their gradients, as columns of wider matrices.
    const Tensor here_q = take_rows(own, q, rows), here_k = take_rows(own, k, rows);
    const Tensor here_v = take_rows(own, v, rows), here_dout = take_rows(own, dout, rows);
    const Tensor here_out = own.uninitialised(c.type, here_q.shape()),
                 here_dq = own.uninitialised(c.type, here_q.shape());
    const Tensor here_dk = own.uninitialised(c.type, here_k.shape()),
                 here_dv = own.uninitialised(c.type, here_k.shape());
    const int64_t count = here_q.dim(0);
    const Tensor here_lse = own.uninitialised(DType::f32, {c.heads * count}).view({c.heads, count});
    attend(ctx, {.q = here_q,
                 .k = here_k,
                 .v = here_v,
                 .out = here_out,
                 .lse = here_lse,
                 .heads = c.heads,
                 .kv_heads = c.kv_heads,
                 .scale = scale});
    attend_backward(ctx, {.q = here_q,
                          .k = here_k,
                          .v = here_v,
                          .out = here_out,
                          .lse = here_lse,
                          .dout = here_dout,
                          .dq = here_dq,
                          .dk = here_dk,
                          .dv = here_dv,
                          .heads = c.heads,
                          .kv_heads = c.kv_heads,
                          .scale = scale});
    // Ranks write to rows of their own.
    put_rows(here_out, rows, out);
    put_rows(here_dq, rows, dq);
    put_rows(here_dk, rows, dk);
    put_rows(here_dv, rows, dv);
    put_rows(here_lse.t(), rows, lse);
  });

  std::vector<std::vector<AttentionSegment>> whole;
  attention_visits(batch, whole);
  const reference::AttentionShape shape{c.heads, c.kv_heads, scale, true, whole[0]};
  const Matrix mq = to_matrix(q), mk = to_matrix(k), mv = to_matrix(v);
  const auto expected = reference::attention(mq, mk, mv, shape);
  const auto gradient = reference::attention_backward(mq, mk, mv, to_matrix(out), shape, to_matrix(dout));
  // As of one piece (tests/core/ops/attention_test.cpp), and a merge per piece: weights of exp(lse) are off
  // by the rounding of lse, which is a few units.
  const double sums = 16 + static_cast<double>(c.head_dim) / 4 + 8 * c.parts;
  const double rounded = c.type == DType::bf16 ? 3 * 32768.0 : 0;
  expect_close(out, expected.out, {.sums = sums + rounded, .scale = 1}, "out");
  Matrix lse_rows(tokens, c.heads);
  for (int64_t h = 0; h < c.heads; ++h)
    for (int64_t i = 0; i < tokens; ++i) lse_rows(i, h) = expected.lse(h, i);
  expect_close(lse, lse_rows, {.sums = sums, .scale = 4}, "lse");
  expect_close(dq, gradient.dq, {.sums = 2 * sums + rounded, .scale = 1}, "dq");
  expect_close(dk, gradient.dk, {.sums = 2 * sums + rounded, .scale = 1}, "dk");
  expect_close(dv, gradient.dv, {.sums = 2 * sums + rounded}, "dv");
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Ring,
    testing::Values(Case{1, 2, 8, 2, 1, 8, DType::f32}, Case{2, 1, 4, 1, 1, 4, DType::f32},
                    Case{2, 3, 32, 4, 2, 16, DType::f32}, Case{3, 2, 30, 6, 2, 5, DType::f32},
                    Case{4, 2, 320, 2, 2, 32, DType::f32}, Case{8, 2, 48, 2, 1, 16, DType::f32},
                    Case{2, 3, 32, 4, 2, 16, DType::bf16}, Case{4, 2, 64, 4, 1, 24, DType::bf16}),
    [](const auto& info) {
      return "parts" + std::to_string(info.param.parts) + "_dim" + std::to_string(info.param.head_dim) +
             (info.param.type == DType::bf16 ? "_bf16" : "");
    });

}  // namespace
}  // namespace strata
