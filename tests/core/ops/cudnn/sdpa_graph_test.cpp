// SPDX-License-Identifier: Apache-2.0
// What our graphs compute: interpreted in double, they are attention and its gradient, of batches with and
// without tables. (The library finds the pattern of a graph, but not that a wrong tensor stands in it.)
#include <gtest/gtest.h>

#include <random>

#include "core/ops/cuda/cudnn/sdpa_graph.h"
#include "tests/core/ops/cudnn/graph_interpreter.h"
#include "tests/support/reference_ops.h"

namespace strata::cuda {
namespace {

using reference::Matrix;

struct Case {
  const char* what;
  int64_t heads, kv_heads, qk_dim, v_dim;
  bool causal;
  std::vector<std::pair<int32_t, int32_t>> lengths;  // queries and keys of each sequence
  int64_t batch, q_length, kv_length;                // ragged when the lengths are not these
};

std::vector<Case> cases() {
  return {{"one", 2, 2, 4, 4, true, {{7, 7}}, 1, 7, 7},
          {"shared heads", 4, 2, 4, 6, true, {{5, 5}, {5, 5}}, 2, 5, 5},
          {"not causal", 3, 1, 2, 2, false, {{4, 6}}, 1, 4, 6},
          {"ragged", 4, 2, 4, 3, true, {{3, 3}, {7, 7}, {1, 1}}, 4, 8, 8},
          {"ragged, one head a key head", 2, 2, 3, 4, true, {{5, 5}, {2, 2}}, 2, 6, 6},
          {"ragged, not causal", 2, 1, 4, 4, false, {{3, 5}, {6, 2}}, 2, 7, 8}};
}

// Memory of an operand: rows of `stride`, with elements between that nobody may use.
std::vector<double> rows_of(const Matrix& x, int64_t stride) {
  std::vector<double> memory(static_cast<size_t>(x.rows * stride), std::numeric_limits<double>::quiet_NaN());
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) memory[static_cast<size_t>(i * stride + j)] = x(i, j);
  return memory;
}

void expect_near(const std::vector<double>& memory, const Matrix& expected, int64_t stride,
                 const char* what) {
  for (int64_t i = 0; i < expected.rows; ++i)
    for (int64_t j = 0; j < expected.cols; ++j)
      ASSERT_NEAR(memory[static_cast<size_t>(i * stride + j)], expected(i, j), 1e-6)
          << what << " " << i << " " << j;
}

TEST(SdpaGraph, IsAttentionAndItsGradient) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.what);
    std::vector<AttentionSegment> segments;
    int32_t queries = 0, keys = 0;
    for (const auto& [q, k] : c.lengths) {
      segments.push_back({queries, q, keys, k, 0});
      queries += q;
      keys += k;
    }
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    const auto matrix = [&](int64_t rows, int64_t columns) {
      Matrix x(rows, columns);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) x(i, j) = normal(random);
      return x;
    };
    const Matrix q = matrix(queries, c.heads * c.qk_dim), k = matrix(keys, c.kv_heads * c.qk_dim);
    const Matrix v = matrix(keys, c.kv_heads * c.v_dim), dout = matrix(queries, c.heads * c.v_dim);
    const float scale = 0.375f;
    const reference::AttentionShape shape{c.heads, c.kv_heads, static_cast<double>(scale), c.causal,
                                          segments};
    const auto expected = reference::attention(q, k, v, shape);
    const auto gradient = reference::attention_backward(q, k, v, expected.out, shape, dout);

    SdpaShape s{.batch = c.batch,
                .heads = c.heads,
                .kv_heads = c.kv_heads,
                .q_length = c.q_length,
                .kv_length = c.kv_length,
                .qk_dim = c.qk_dim,
                .v_dim = c.v_dim,
                .scale = scale,
                .causal = c.causal};
    s.ragged = static_cast<int64_t>(c.lengths.size()) != c.batch || c.lengths[0].first != c.q_length;
    GraphInterpreter::Memory memory;
    std::map<int64_t, int64_t> lengths_of;
    const Matrix* const in[kSdpaOperands] = {&q, &k, &v, &dout, &dout, &q, &k, &v};  // of that size
    for (int i = 0; i < kSdpaOperands; ++i) {
      s.stride[i] = in[i]->cols + i;
      memory[sdpa_operand_id(i)] = rows_of(*in[i], s.stride[i]);
      auto& offsets = memory[sdpa_offsets_id(i)];
      for (size_t b = 0; b <= static_cast<size_t>(c.batch); ++b) {
        const bool past = b >= segments.size();
        const int64_t token =
            is_query_side(i) ? (past ? queries : segments[b].q_begin) : (past ? keys : segments[b].k_begin);
        offsets.push_back(static_cast<double>(token * s.stride[i]));
      }
      lengths_of[sdpa_offsets_id(i)] = is_query_side(i) ? kSdpaQLengths : kSdpaKvLengths;
    }
    for (size_t b = 0; b < static_cast<size_t>(c.batch); ++b) {
      memory[kSdpaQLengths].push_back(b < c.lengths.size() ? c.lengths[b].first : 0);
      memory[kSdpaKvLengths].push_back(b < c.lengths.size() ? c.lengths[b].second : 0);
    }
    const auto rows = static_cast<size_t>(c.batch * c.heads * c.q_length);
    memory[kSdpaStats].assign(rows, 0);
    memory[kSdpaDelta].assign(rows, 0);

    const CudnnGraph forward = sdpa_forward_graph(s);
    GraphInterpreter(forward, memory, lengths_of).run();
    expect_near(memory[sdpa_operand_id(kSdpaOut)], expected.out, s.stride[kSdpaOut], "out");
    for (size_t b = 0; b < static_cast<size_t>(c.batch); ++b)
      for (int64_t h = 0; h < c.heads; ++h)
        for (int64_t i = 0; i < c.q_length; ++i) {
          double& stat =
              memory[kSdpaStats]
                    [static_cast<size_t>((static_cast<int64_t>(b) * c.heads + h) * c.q_length + i)];
          if (b >= c.lengths.size() || i >= c.lengths[b].first)
            stat = 0;  // as sdpa.h wants it
          else
            ASSERT_NEAR(stat, expected.lse(h, segments[b].q_begin + i), 1e-6) << "lse";
        }
    const CudnnGraph backward = sdpa_backward_graph(s);
    GraphInterpreter(backward, memory, lengths_of).run();
    expect_near(memory[sdpa_operand_id(kSdpaDQ)], gradient.dq, s.stride[kSdpaDQ], "dq");
    expect_near(memory[sdpa_operand_id(kSdpaDK)], gradient.dk, s.stride[kSdpaDK], "dk");
    expect_near(memory[sdpa_operand_id(kSdpaDV)], gradient.dv, s.stride[kSdpaDV], "dv");
  }
}

}  // namespace
}  // namespace strata::cuda
