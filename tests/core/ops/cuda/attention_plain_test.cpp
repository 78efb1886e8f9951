// SPDX-License-Identifier: Apache-2.0
// The hand-written attention by itself: what the front end does not ask of every device (values with heads of
// another size), more segments than one launch carries, and scratch.
#include "core/ops/cuda/attention_plain.h"

#include <gtest/gtest.h>

#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

struct AttentionPlainCase {
  const char* what;
  int64_t queries, keys, heads, kv_heads, qk_dim, v_dim;
  bool causal;
  std::vector<AttentionSegment> segments;
};

std::vector<AttentionPlainCase> attention_plain_cases() {
  std::vector<AttentionSegment> single, pairs;  // documents of one token, and of two queries and shared keys
  for (int32_t i = 0; i < 300; ++i) single.push_back({i, 1, i, 1, 0});
  for (int32_t i = 0; i < 150; ++i) pairs.push_back({2 * i, 2, i / 2, 3, 1});
  return {
      {"wide keys", 70, 70, 4, 2, 192, 128, true, {{0, 70, 0, 70, 0}}},
      {"wide values", 40, 50, 2, 2, 12, 70, false, {{0, 40, 0, 50, 0}}},
      {"odd heads", 35, 35, 3, 1, 7, 5, true, {{0, 20, 0, 20, 0}, {20, 15, 20, 15, 0}}},
      {"the widest", 20, 20, 1, 1, 256, 256, true, {{0, 20, 0, 20, 0}}},
      {"many segments", 300, 300, 1, 1, 8, 8, true, single},
      {"many segments on shared keys", 300, 80, 2, 1, 16, 16, true, pairs},
  };
}

struct AttentionPlainOperands {
  AttentionPlainOperands(TestTensors& t, const AttentionPlainCase& c, DType type)
      : q(t.normal(type, {c.queries, c.heads * c.qk_dim})),
        k(t.normal(type, {c.keys, c.kv_heads * c.qk_dim})),
        v(t.normal(type, {c.keys, c.kv_heads * c.v_dim})),
        dout(t.normal(type, {c.queries, c.heads * c.v_dim})),
        out(t.uninitialised(type, dout.shape())),
        lse(t.filled(DType::f32, {c.heads * c.queries}, 12345).view({c.heads, c.queries})),
        dq(t.uninitialised(type, q.shape())),
        dk(t.uninitialised(type, k.shape())),
        dv(t.uninitialised(DType::f32, v.shape())) {}
  Tensor q, k, v, dout, out, lse, dq, dk, dv;
};

TEST(PlainAttention, IsTheReference) {
  for (const AttentionPlainCase& c : attention_plain_cases())
    for (const DType type : {DType::f32, DType::bf16}) {
      TestTensors t;
      const AttentionPlainOperands in(t, c, type);
      const float scale = 1 / std::sqrt(static_cast<float>(c.qk_dim));
      const reference::AttentionShape shape{c.heads, c.kv_heads, scale, c.causal, c.segments};
      const Matrix q = to_matrix(in.q), k = to_matrix(in.k), v = to_matrix(in.v);
      const auto expected = reference::attention(q, k, v, shape);
      const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
        const AttentionPlainOperands o(tensors, c, type);
        const AttentionForward forward{.q = o.q,
                                       .k = o.k,
                                       .v = o.v,
                                       .out = o.out,
                                       .lse = o.lse,
                                       .heads = c.heads,
                                       .kv_heads = c.kv_heads,
                                       .scale = scale,
                                       .causal = c.causal,
                                       .segments = c.segments};
        const AttentionBackward backward{.q = o.q,
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
        cuda::plain_attention_forward(stream, forward);
        EXPECT_EQ(stream.scratch().high_water(), cuda::plain_attention_forward_scratch(forward));
        stream.scratch().reset_high_water();
        cuda::plain_attention_backward(stream, backward);
        EXPECT_EQ(stream.scratch().high_water(), cuda::plain_attention_backward_scratch(backward));
        return std::vector{o.out, o.lse, o.dq, o.dk, o.dv};
      });
      const std::string what = fmt::format("{} {}", c.what, name(type));
      // As in tests/core/ops/attention_test.cpp.
      const double sums = 16 + static_cast<double>(std::max(c.qk_dim, c.v_dim)) / 4;
      expect_close(got[0], expected.out, {.sums = sums, .scale = 1}, what + " out");
      expect_close(got[1], expected.lse, {.sums = sums, .scale = 4}, what + " lse");
      const auto gradient =
          reference::attention_backward(q, k, v, to_matrix(got[0]), shape, to_matrix(in.dout));
      expect_close(got[2], gradient.dq, {.sums = 2 * sums, .scale = 1}, what + " dq");
      expect_close(got[3], gradient.dk, {.sums = 2 * sums, .scale = 1}, what + " dk");
      expect_close(got[4], gradient.dv, {.sums = 2 * sums}, what + " dv");
    }
}

}  // namespace
}  // namespace strata
