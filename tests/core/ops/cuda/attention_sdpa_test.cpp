// SPDX-License-Identifier: Apache-2.0
// Attention through the attention library's seam: which segments become which batches, and that tables, heads
// at a time and log-sum-exps are put together right (on the pretend GPU with loops for a library).
#include "core/ops/cuda/attention_sdpa.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <random>
#include <set>

#include "core/ops/cuda/sdpa_runs.h"
#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

std::vector<AttentionSegment> documents(const std::vector<int32_t>& lengths) {
  std::vector<AttentionSegment> segments;
  int32_t begin = 0;
  for (const int32_t length : lengths) {
    segments.push_back({begin, length, begin, length, 0});
    begin += length;
  }
  return segments;
}
int64_t total(const std::vector<AttentionSegment>& segments) {
  return segments.back().q_begin + segments.back().q_count;
}

constexpr int64_t kDim = 64;
// As large as one sequence of all tokens, of a head.
cuda::SdpaLimits limits_of(int64_t tokens) {
  const cuda::SdpaRun longest = cuda::sdpa_longest_run(tokens, tokens);
  return {.q_rows = 2 * longest.q_length,
          .kv_rows = 2 * longest.kv_length,
          .bytes = cuda::sdpa_backward_workspace(1, longest, kDim, kDim),
          .qk_dim = kDim,
          .v_dim = kDim};
}

TEST(SdpaRuns, SegmentsOfOneLengthAreOneBatchWithoutTables) {
  for (const auto& [count, length] : {std::pair<size_t, int32_t>{1, 300}, {4, 256}, {3, 200}}) {
    const auto segments = documents(std::vector<int32_t>(count, length));
    const auto runs = cuda::sdpa_runs(segments, limits_of(total(segments)));
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_FALSE(runs[0].ragged);
    EXPECT_EQ(runs[0].batch, static_cast<int64_t>(count));
    EXPECT_EQ(runs[0].q_length, length);
  }
}

// As many as fit, the same number in each; none where not even one does.
TEST(SdpaRuns, ManySegmentsOfOneLengthAreSeveralBatches) {
  const auto segments = documents(std::vector<int32_t>(12, 256));
  cuda::SdpaLimits limits = limits_of(12 * 256);
  limits.bytes = cuda::sdpa_backward_workspace(1, {0, 5, 5, 256, 256, false}, kDim, kDim);
  const auto runs = cuda::sdpa_runs(segments, limits);
  ASSERT_EQ(runs.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(runs[i].first, 4 * i);
    EXPECT_EQ(runs[i].count, 4u);
    EXPECT_FALSE(runs[i].ragged);
  }
  limits.bytes = 1 << 16;
  EXPECT_TRUE(cuda::sdpa_runs(segments, limits).empty());
  EXPECT_TRUE(cuda::sdpa_runs(documents({300, 20}), limits).empty());
}

// Whatever the lengths: each sequence once and in order, none longer than its batch, all within the limits;
// few shapes, since each costs the library time.
TEST(SdpaRuns, AnyLengths) {
  std::set<std::tuple<int64_t, int64_t>> shapes;
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    std::vector<int32_t> lengths;
    for (int64_t left = 8192; left > 0; left -= lengths.back()) {
      const double longest = std::pow(2.0, std::uniform_real_distribution<>(0, 13)(random));
      lengths.push_back(static_cast<int32_t>(std::min<int64_t>(left, 1 + static_cast<int64_t>(longest))));
    }
    const auto segments = documents(lengths);
    const cuda::SdpaLimits limits = limits_of(8192);
    const auto runs = cuda::sdpa_runs(segments, limits);
    size_t next = 0;
    for (const cuda::SdpaRun& run : runs) {
      EXPECT_EQ(run.first, next);
      next += run.count;
      EXPECT_GE(run.batch, static_cast<int64_t>(run.count));
      for (size_t i = run.first; i < next; ++i) EXPECT_LE(segments[i].q_count, run.q_length);
      EXPECT_LE(run.batch * run.q_length, limits.q_rows);
      EXPECT_LE(cuda::sdpa_backward_workspace(1, run, kDim, kDim), limits.bytes);
      shapes.insert({run.batch, run.q_length});
    }
    EXPECT_EQ(next, segments.size());
    EXPECT_LE(runs.size(), 2 + segments.size() / 2);
  }
  EXPECT_LE(shapes.size(), 150u);
}

TEST(SdpaRuns, OtherViewsAreNotSequences) {
  const auto none = [](std::vector<AttentionSegment> segments, int64_t queries, int64_t keys) {
    return cuda::sdpa_sequences(segments, true, queries, keys).empty();
  };
  EXPECT_FALSE(none({{0, 4, 0, 4, 0}, {4, 3, 4, 5, 0}}, 7, 9));
  EXPECT_FALSE(none({{4, 3, 4, 5, 0}, {0, 4, 0, 4, 0}}, 7, 9));  // in any order
  EXPECT_TRUE(none({{0, 4, 0, 4, 1}}, 4, 4));                    // another diagonal
  EXPECT_TRUE(none({{0, 4, 0, 0, 0}}, 4, 0));                    // no keys
  EXPECT_TRUE(none({{0, 4, 0, 4, 0}}, 4, 5));                    // a key nobody sees
  EXPECT_TRUE(none({{0, 4, 0, 4, 0}, {4, 4, 2, 4, 0}}, 8, 6));   // shared keys
}

struct AttentionSdpaCase {
  const char* what;
  int64_t heads, kv_heads, qk_dim, v_dim;
  bool causal;
  std::vector<AttentionSegment> segments;
  int64_t memory = cuda::kSdpaMemory;
};

std::vector<AttentionSdpaCase> attention_sdpa_cases() {
  std::vector<AttentionSegment> cross = {{0, 30, 0, 50, 0}, {30, 20, 50, 9, 0}};
  return {
      {"one document", 4, 2, 64, 64, true, documents({70})},
      {"one document, not causal", 2, 2, 16, 32, false, documents({65})},
      {"equal documents", 4, 4, 32, 32, true, documents({20, 20, 20})},
      {"documents", 4, 2, 32, 32, true, documents({3, 60, 1, 1, 17, 40})},
      {"many documents", 8, 4, 8, 8, true, documents(std::vector<int32_t>(300, 1))},
      {"wide keys", 2, 1, 192, 128, true, documents({33, 20})},
      {"the widest", 1, 1, 256, 256, true, documents({20})},
      {"cross", 4, 4, 16, 24, false, cross},
      {"heads apart", 8, 4, 16, 16, true, documents({30, 50}), 300 << 10},
      {"heads apart, equal documents", 6, 6, 32, 32, true, documents({40, 40}), 200 << 10},
      {"batches of one, apart", 2, 1, 32, 32, true, documents({2, 2}), 1},
      {"batches apart", 2, 1, 32, 32, true, documents({40, 40, 40, 40, 40, 40}), 1},
      {"heads apart, one document", 8, 4, 16, 16, true, documents({90}), 1},
  };
}

// The library rounds weights, score gradients and gradients of shared keys and values to bf16 on the way, as
// tests/core/ops/attention_test.cpp says of the CPU's dot products.
constexpr double kRounded = 3 * 32768.0;

// What the library asks of memory: rows on 16 bytes.
bool is_aligned(const AttentionBackward& a) {
  for (const Tensor& x : {a.q, a.k, a.v, a.out, a.dout, a.dq, a.dk, a.dv})
    if (std::bit_cast<uintptr_t>(x.raw()) % 16 != 0 || (x.dim(0) > 1 && x.stride(0) % 8 != 0)) return false;
  return true;
}

TEST(SdpaAttention, IsTheReference) {
  if (!cuda::sdpa_may_support(64, 64)) GTEST_SKIP() << "this build has no attention library";
  size_t taken = 0;
  for (const AttentionSdpaCase& c : attention_sdpa_cases()) {
    const AttentionSegment& last = c.segments.back();
    const int64_t queries = last.q_begin + last.q_count, keys = last.k_begin + last.k_count;
    const float scale = 1 / std::sqrt(static_cast<float>(c.qk_dim));
    const reference::AttentionShape shape{c.heads, c.kv_heads, scale, c.causal, c.segments};
    const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
      AttentionForward forward{
          .q = t.normal(DType::bf16, {queries, c.heads * c.qk_dim}),
          .k = t.normal(DType::bf16, {keys, c.kv_heads * c.qk_dim}),
          .v = t.normal(DType::bf16, {keys, c.kv_heads * c.v_dim}),
          .out = t.uninitialised(DType::bf16, {queries, c.heads * c.v_dim}),
          .lse = t.filled(DType::f32, {c.heads * queries}, 12345).view({c.heads, queries}),
          .heads = c.heads,
          .kv_heads = c.kv_heads,
          .scale = scale,
          .causal = c.causal,
          .segments = c.segments};
      AttentionBackward backward{.q = forward.q,
                                 .k = forward.k,
                                 .v = forward.v,
                                 .out = forward.out,
                                 .lse = forward.lse,
                                 .dout = t.normal(DType::bf16, {queries, c.heads * c.v_dim}),
                                 .dq = t.uninitialised(DType::bf16, forward.q.shape()),
                                 .dk = t.uninitialised(DType::bf16, forward.k.shape()),
                                 .dv = t.uninitialised(DType::bf16, forward.v.shape()),
                                 .heads = c.heads,
                                 .kv_heads = c.kv_heads,
                                 .scale = scale,
                                 .causal = c.causal,
                                 .segments = c.segments};
      const bool aligned = is_aligned(backward);
      EXPECT_EQ(cuda::sdpa_attention_forward(stream, forward), aligned) << c.what;
      if (!aligned) return std::vector<Tensor>();
      EXPECT_LE(stream.scratch().high_water(), cuda::sdpa_attention_forward_scratch(forward));
      stream.scratch().reset_high_water();
      EXPECT_TRUE(cuda::sdpa_attention_backward(stream, backward, c.memory)) << c.what;
      EXPECT_LE(stream.scratch().high_water(), cuda::sdpa_attention_backward_scratch(backward, c.memory));
      return std::vector{forward.out, forward.lse, backward.dq, backward.dk,  backward.dv,
                         forward.q,   forward.k,   forward.v,   backward.dout};
    });
    if (got.empty()) continue;
    ++taken;
    const Matrix q = to_matrix(got[5]), k = to_matrix(got[6]), v = to_matrix(got[7]);
    const auto expected = reference::attention(q, k, v, shape);
    // As in attention_plain_test.cpp.
    const double sums = 16 + static_cast<double>(std::max(c.qk_dim, c.v_dim)) / 4;
    expect_close(got[0], expected.out, {.sums = sums + kRounded, .scale = 1}, fmt::format("{} out", c.what));
    expect_close(got[1], expected.lse, {.sums = sums, .scale = 4}, fmt::format("{} lse", c.what));
    const auto gradient = reference::attention_backward(q, k, v, to_matrix(got[0]), shape, to_matrix(got[8]));
    expect_close(got[2], gradient.dq, {.sums = 2 * sums + kRounded, .scale = 1},
                 fmt::format("{} dq", c.what));
    expect_close(got[3], gradient.dk, {.sums = 2 * sums + kRounded, .scale = 1},
                 fmt::format("{} dk", c.what));
    expect_close(got[4], gradient.dv, {.sums = 2 * sums + kRounded}, fmt::format("{} dv", c.what));
  }
  EXPECT_EQ(taken,
            std::getenv("STRATA_TEST_PLACING") ? attention_sdpa_cases().size()
                                               : 0);  // CMakeLists.txt runs it both ways
}

}  // namespace
}  // namespace strata
