// SPDX-License-Identifier: Apache-2.0
#include "core/ops/attention.h"

#include <gtest/gtest.h>

#include "core/ops/elementwise.h"
#include "core/ops/op_table.h"
#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

struct AttentionCase {
  const char* what;
  int64_t queries, keys, heads, kv_heads, head_dim;
  bool causal;
  std::vector<AttentionSegment> segments;
};

std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionSegment> many;  // packed documents of 1, 2, 3, ... tokens
  for (int32_t begin = 0, n = 1; begin + n <= 105; begin += n, ++n) many.push_back({begin, n, begin, n, 0});
  return {
      {"one token", 1, 1, 1, 1, 1, true, {{0, 1, 0, 1, 0}}},
      {"odd sizes", 7, 7, 3, 3, 5, true, {{0, 7, 0, 7, 0}}},
      {"not causal", 19, 33, 2, 2, 16, false, {{0, 19, 0, 33, 0}}},
      {"grouped heads", 20, 20, 6, 2, 8, true, {{0, 20, 0, 20, 0}}},
      {"one tile", 64, 64, 2, 1, 32, true, {{0, 64, 0, 64, 0}}},
      {"beyond a tile", 65, 65, 1, 1, 64, true, {{0, 65, 0, 65, 0}}},
      {"several tiles", 200, 200, 2, 1, 48, true, {{0, 200, 0, 200, 0}}},
      {"wide heads", 70, 70, 1, 1, 256, true, {{0, 70, 0, 70, 0}}},
      {"head of 80", 66, 66, 2, 2, 80, true, {{0, 66, 0, 66, 0}}},
      {"many documents", 105, 105, 2, 1, 16, true, many},
      {"documents out of order",
       30,
       30,
       1,
       1,
       8,
       true,
       {{20, 10, 20, 10, 0}, {0, 12, 0, 12, 0}, {12, 8, 12, 8, 0}}},
      {"earlier keys only", 100, 70, 2, 2, 16, true, {{0, 100, 0, 70, 200}}},
      {"later keys only", 30, 30, 1, 1, 16, true, {{0, 30, 0, 30, -30}}},
      {"a shifted diagonal", 150, 140, 1, 1, 16, true, {{0, 150, 0, 140, -37}}},
      {"shared keys", 140, 100, 2, 1, 16, true, {{0, 70, 0, 90, 20}, {70, 70, 30, 60, -5}}},
      {"keys that no query sees", 40, 100, 1, 1, 16, true, {{0, 20, 10, 20, 0}, {20, 20, 60, 20, 0}}},
      {"an empty segment", 5, 5, 1, 1, 4, true, {{0, 5, 0, 0, 0}}},
      {"no keys between", 6, 4, 1, 1, 4, false, {{0, 3, 0, 4, 0}, {3, 0, 2, 1, 0}, {3, 3, 1, 2, 0}}},
  };
}

struct AttentionOperands {
  AttentionOperands(TestTensors& t, const AttentionCase& c, DType type)
      : q(t.normal(type, {c.queries, c.heads * c.head_dim})),
        k(t.normal(type, {c.keys, c.kv_heads * c.head_dim})),
        v(t.normal(type, {c.keys, c.kv_heads * c.head_dim})),
        dout(t.normal(type, {c.queries, c.heads * c.head_dim})),
        out(t.uninitialised(type, q.shape())),
        lse(t.filled(DType::f32, {c.heads * c.queries}, 12345).view({c.heads, c.queries})),
        dq(t.uninitialised(type, q.shape())),
        dk(t.uninitialised(type, k.shape())),
        dv(t.uninitialised(type, k.shape())) {}
  Tensor q, k, v, dout, out, lse, dq, dk, dv;
};

AttentionForward forward_args(const AttentionOperands& o, const AttentionCase& c, float scale) {
  return {.q = o.q,
          .k = o.k,
          .v = o.v,
          .out = o.out,
          .lse = o.lse,
          .heads = c.heads,
          .kv_heads = c.kv_heads,
          .scale = scale,
          .causal = c.causal,
          .segments = c.segments};
}
AttentionBackward backward_args(const AttentionOperands& o, const AttentionCase& c, float scale) {
  return {.q = o.q,
          .k = o.k,
          .v = o.v,
          .out = o.out,
          .lse = o.lse,
          .dout = o.dout,
          .dq = o.dq,
          .dk = o.dk,
          .dv = o.dv,
          .heads = c.heads,
          .kv_heads = c.kv_heads,
          .scale = scale,
          .causal = c.causal,
          .segments = c.segments};
}

// Instruction sets whose bits agree. Only the one with a dot product of bf16 rounds weights and score
// gradients to bf16 on the way, when it can use it.
std::vector<std::vector<Isa>> families(DType type) {
  std::vector<Isa> isas = isas_here();
  if (type == DType::f32 || isas.back() != Isa::avx512_bf16) return {isas};
  isas.pop_back();
  return {isas, {Isa::avx512_bf16}};
}

TEST(Attention, IsTheReference) {
  for (const AttentionCase& c : attention_cases())
    for (const DType type : {DType::f32, DType::bf16}) {
      TestTensors t;
      const AttentionOperands in(t, c, type);
      const float scale = 1 / std::sqrt(static_cast<float>(c.head_dim));
      const reference::AttentionShape shape{c.heads, c.kv_heads, scale, c.causal, c.segments};
      const Matrix q = to_matrix(in.q), k = to_matrix(in.k), v = to_matrix(in.v);
      const auto expected = reference::attention(q, k, v, shape);
      for (const std::vector<Isa>& isas : families(type)) {
        const auto got = run_everywhere(
            [&](Stream& stream, TestTensors& tensors) {
              const AttentionOperands o(tensors, c, type);
              const AttentionForward forward = forward_args(o, c, scale);
              attention_forward(stream, forward);
              EXPECT_LE(
                  stream.scratch().high_water(),
                  round_up(scratch_table(stream.device().kind).attention_forward(forward), kTensorAlignment));
              stream.scratch().reset_high_water();
              const AttentionBackward backward = backward_args(o, c, scale);
              attention_backward(stream, backward);
              EXPECT_LE(stream.scratch().high_water(),
                        round_up(scratch_table(stream.device().kind).attention_backward(backward),
                                 kTensorAlignment));
              return std::vector{o.out, o.lse, o.dq, o.dk, o.dv};
            },
            isas);
        const std::string what = fmt::format("{} {} {}", c.what, name(type), name(isas.back()));
        // Scores are sums of head_dim terms, rounded in f32; an error of a score is a relative error of its
        // weight. Where weights and score gradients are rounded to bf16, each term of a sum is off by up to
        // 2^-9 of itself; the errors are independent, so a sum is off by that times its largest terms, not
        // times their number.
        const double sums = 16 + static_cast<double>(c.head_dim) / 4;
        const double rounded = type == DType::bf16 && isas.back() == Isa::avx512_bf16 ? 3 * 32768.0 : 0;
        expect_close(got[0], expected.out, {.sums = sums + rounded, .scale = 1}, what + " out");
        expect_close(got[1], expected.lse, {.sums = sums, .scale = 4}, what + " lse");
        const auto gradient =
            reference::attention_backward(q, k, v, to_matrix(got[0]), shape, to_matrix(in.dout));
        expect_close(got[2], gradient.dq, {.sums = 2 * sums + rounded, .scale = 1}, what + " dq");
        expect_close(got[3], gradient.dk, {.sums = 2 * sums + rounded, .scale = 1}, what + " dk");
        expect_close(got[4], gradient.dv, {.sums = 2 * sums + rounded}, what + " dv");
      }
    }
}

TEST(Attention, ColumnsOfOneFusedMatrix) {
  const AttentionCase c{"fused", 70, 70, 2, 2, 16, true, {{0, 70, 0, 70, 0}}};
  const auto got = run_everywhere(
      [&](Stream& stream, TestTensors& t) {
        AttentionOperands apart(t, c, DType::bf16);
        const Tensor fused = t.uninitialised(DType::bf16, {70, 96}),
                     dfused = t.uninitialised(DType::bf16, {70, 96});
        AttentionOperands together = apart;
        const Tensor* sources[] = {&apart.q, &apart.k, &apart.v};
        Tensor* targets[] = {&together.q, &together.k, &together.v};
        Tensor* gradients[] = {&together.dq, &together.dk, &together.dv};
        for (int i = 0; i < 3; ++i) {
          *targets[i] = fused.slice(1, 32 * i, 32);
          *gradients[i] = dfused.slice(1, 32 * i, 32);
          copy(stream, *sources[i], *targets[i]);
        }
        attention_forward(stream, forward_args(apart, c, 0.25f));
        attention_backward(stream, backward_args(apart, c, 0.25f));
        together.out = t.uninitialised(DType::bf16, {70, 32});
        attention_forward(stream, forward_args(together, c, 0.25f));
        attention_backward(stream, backward_args(together, c, 0.25f));
        return std::vector{apart.out,    apart.dq,    apart.dk,    apart.dv,
                           together.out, together.dq, together.dk, together.dv};
      },
      {isas_here().back()});
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(bytes_of(got[i]) == bytes_of(got[4 + i])) << i;
}

// Attention over two sets of keys, in f32, merged, is attention over all of them; queries that see keys of
// one set only, or of none, included. The gradients of the sets add up.
TEST(Attention, SetsOfKeysMerge) {
  constexpr int64_t kQueries = 70, kKeys = 90, kFirst = 40;
  const AttentionCase c{"sets", kQueries, kKeys, 4, 2, 24, true, {}};
  // Queries 0..9 see nothing, 10..39 only the first set, the others both; and the sets alone.
  const std::vector<AttentionSegment> all = {{0, 10, 0, 0, 0}, {10, 30, 0, 30, 0}, {40, 30, 5, 80, 50}};
  const std::vector<AttentionSegment> first = {{0, 10, 0, 0, 0}, {10, 30, 0, 30, 0}, {40, 30, 5, 35, 50}};
  const std::vector<AttentionSegment> second = {{0, 40, 0, 0, 0}, {40, 30, 0, 45, 15}};
  for (const DType type : {DType::f32, DType::bf16}) {
    TestTensors t;
    const AttentionOperands in(t, c, type);
    const reference::AttentionShape shape{c.heads, c.kv_heads, 0.25, true, all};
    const Matrix q = to_matrix(in.q), k = to_matrix(in.k), v = to_matrix(in.v);
    const auto expected = reference::attention(q, k, v, shape);
    for (const std::vector<Isa>& isas : families(type)) {
      const auto got = run_everywhere(
          [&](Stream& stream, TestTensors& tensors) {
            AttentionOperands o(tensors, c, type);
            const auto dense = [&](int64_t rows, int64_t columns) {
              return tensors.filled(DType::f32, {rows * columns}, 12345).view({rows, columns});
            };
            const Tensor out = dense(kQueries, 96), part = dense(kQueries, 96), part_lse = dense(4, kQueries);
            AttentionForward args = forward_args(o, c, 0.25f);
            const auto run = [&](const Tensor& to, const Tensor& lse,
                                 const std::vector<AttentionSegment>& segments, int64_t begin,
                                 int64_t count) {
              args.k = o.k.slice(0, begin, count);
              args.v = o.v.slice(0, begin, count);
              args.out = to;
              args.lse = lse;
              args.segments = segments;
              attention_forward(stream, args);
            };
            run(out, o.lse, first, 0, kFirst);
            run(part, part_lse, second, kFirst, kKeys - kFirst);
            attention_merge(stream, {.out = out, .lse = o.lse, .part = part, .part_lse = part_lse});
            copy(stream, out, o.out);

            const Tensor dq = dense(kQueries, 96), dk = dense(kKeys, 48), dv = dense(kKeys, 48);
            AttentionBackward back = backward_args(o, c, 0.25f);
            const auto run_back = [&](const Tensor& to, const std::vector<AttentionSegment>& segments,
                                      int64_t begin, int64_t count) {
              back.k = o.k.slice(0, begin, count);
              back.v = o.v.slice(0, begin, count);
              back.dq = to;
              back.dk = dk.slice(0, begin, count);
              back.dv = dv.slice(0, begin, count);
              back.segments = segments;
              attention_backward(stream, back);
            };
            run_back(dq, first, 0, kFirst);
            run_back(part, second, kFirst, kKeys - kFirst);
            add(stream, dq, part, dq);
            return std::vector{out, o.lse, dq, dk, dv, o.out};
          },
          isas);
      const std::string what = fmt::format("{} {}", name(type), name(isas.back()));
      const double rounded = type == DType::bf16 && isas.back() == Isa::avx512_bf16 ? 3 * 32768.0 : 0;
      expect_close(got[0], expected.out, {.sums = 32 + rounded, .scale = 1}, what + " out");
      expect_close(got[1], expected.lse, {.sums = 24, .scale = 4}, what + " lse");
      const auto gradient =
          reference::attention_backward(q, k, v, to_matrix(got[5]), shape, to_matrix(in.dout));
      expect_close(got[2], gradient.dq, {.sums = 64 + rounded, .scale = 1}, what + " dq");
      expect_close(got[3], gradient.dk, {.sums = 64 + rounded, .scale = 1}, what + " dk");
      expect_close(got[4], gradient.dv, {.sums = 64 + rounded}, what + " dv");
    }
  }
}

// Scores far apart and far from zero: nothing overflows, and weights sum to one.
TEST(Attention, LargeScores) {
  const AttentionCase c{"large", 80, 80, 1, 1, 16, true, {{0, 80, 0, 80, 0}}};
  const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
    AttentionOperands o(t, c, DType::f32);
    o.q = t.normal(DType::f32, o.q.shape(), 100, 50);
    o.k = t.normal(DType::f32, o.k.shape(), 100, -50);
    o.v = t.filled(DType::f32, o.v.shape(), 3.0f);
    attention_forward(stream, forward_args(o, c, 1.0f));
    return std::vector{o.out};
  });
  for (const double out : to_matrix(got[0]).values) EXPECT_NEAR(out, 3.0, 1e-5);
}

TEST(Attention, BrokenContractsAreNamed) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  const auto message = [&](std::vector<AttentionSegment> segments, int64_t heads = 2) -> std::string {
    const AttentionCase c{"", 8, 8, 2, 2, 4, true, segments};
    const AttentionOperands o(t, c, DType::f32);
    AttentionForward args = forward_args(o, c, 1.0f);
    args.heads = heads;
    try {
      attention_forward(stream, args);
    } catch (const ContractError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message({{0, 8, 0, 8, 0}}), "no error");
  EXPECT_EQ(
      message({{0, 8, 0, 9, 0}}),
      "[attention_forward] segment of queries [0, +8) and keys [0, +9) is outside 8 queries and 8 keys");
  EXPECT_EQ(
      message({{0, 4, 0, 4, 0}, {5, 3, 0, 4, 0}}),
      "[attention_forward] segments must cover every query exactly once: expected one from query 4, got 5");
  EXPECT_EQ(
      message({{0, 4, 0, 4, 0}, {3, 5, 0, 4, 0}}),
      "[attention_forward] segments must cover every query exactly once: expected one from query 4, got 3");
  EXPECT_EQ(
      message({{0, 4, 0, 4, 0}}),
      "[attention_forward] segments must cover every query exactly once: queries from 4 of 8 are in none");
  EXPECT_EQ(message({{0, 8, 0, 8, 0}}, 3), "[attention_forward] heads 3 must be a multiple of kv_heads 2");
}

}  // namespace
}  // namespace strata
