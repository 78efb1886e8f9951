// SPDX-License-Identifier: Apache-2.0
// Which batches cuDNN takes on an H100, forward and backward with the same bits every time, and in how much
// working memory; h100.json describes the GPU (public figures). No kernel is loaded or run: whether results
// are right only a GPU can tell (tests/core/ops/cuda there).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "core/ops/cuda/cudnn/cudnn_engine.h"
#include "core/ops/cuda/cudnn/sdpa_graph.h"
#include "core/ops/cuda/sdpa_runs.h"

namespace strata::cuda {
namespace {

CudnnDescriptor h100() {
  std::ifstream file(STRATA_SOURCE_DIR "/tests/core/ops/cudnn/h100.json");
  const std::string json{std::istreambuf_iterator<char>(file), {}};
  return cudnn_device(json);
}

// Rows of one fused matrix of queries, keys and values, as the layers make them.
SdpaShape batch_of(int64_t batch, int64_t heads, int64_t kv_heads, int64_t length, int64_t qk_dim,
                   int64_t v_dim) {
  SdpaShape s{.batch = batch,
              .heads = heads,
              .kv_heads = kv_heads,
              .q_length = length,
              .kv_length = length,
              .qk_dim = qk_dim,
              .v_dim = v_dim,
              .scale = 0.125f};
  for (int i = 0; i < kSdpaOperands; ++i) s.stride[i] = heads * qk_dim + kv_heads * (qk_dim + v_dim);
  s.stride[kSdpaOut] = s.stride[kSdpaDOut] = heads * v_dim;
  return s;
}

std::string describe(const SdpaShape& s) {
  return fmt::format("{} x {} tokens, {}/{} heads of {}/{}{}{}", s.batch, s.q_length, s.heads, s.kv_heads,
                     s.qk_dim, s.v_dim, s.causal ? ", causal" : "", s.ragged ? ", ragged" : "");
}

// Working memory of the first engine that takes the graph; -1: none does.
int64_t workspace_of(const CudnnGraph& graph, const CudnnDescriptor& device) {
  const LoweredGraph whole(graph);
  const auto configs = cudnn_engine_configs(whole, device);
  return configs.empty() ? -1 : configs.front().get_int64(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE);
}

void expect_taken(const SdpaShape& s, const CudnnDescriptor& device) {
  SCOPED_TRACE(describe(s));
  const SdpaRun run{0, static_cast<size_t>(s.batch), s.batch, s.q_length, s.kv_length, s.ragged};
  const int64_t forward = workspace_of(sdpa_forward_graph(s), device);
  EXPECT_GE(forward, 0) << "forward is not supported";
  EXPECT_LE(forward, kSdpaForwardWorkspace - 256);
  const int64_t backward = workspace_of(sdpa_backward_graph(s), device);
  EXPECT_GE(backward, 0) << "backward is not supported";
  EXPECT_LE(backward + sdpa_delta_bytes(s) + 256, sdpa_backward_workspace(s.heads, run, s.qk_dim, s.v_dim));
}

TEST(CudnnSupport, HeadSizes) {
  const CudnnDescriptor device = h100();
  for (const auto& [qk, v] : {std::pair<int64_t, int64_t>{8, 8},
                              {64, 64},
                              {72, 72},
                              {80, 80},
                              {96, 96},
                              {128, 128},
                              {192, 128},
                              {256, 256}})
    for (const bool ragged : {false, true}) {
      SdpaShape s = batch_of(2, 8, 2, 1024, qk, v);
      s.ragged = ragged;
      expect_taken(s, device);
    }
}

TEST(CudnnSupport, Heads) {
  const CudnnDescriptor device = h100();
  for (const auto& [heads, kv] :
       {std::pair<int64_t, int64_t>{1, 1}, {7, 7}, {16, 16}, {32, 8}, {64, 1}, {128, 128}})
    for (const bool ragged : {false, true}) {
      SdpaShape s = batch_of(1, heads, kv, 512, 128, 128);
      s.ragged = ragged;
      expect_taken(s, device);
    }
}

TEST(CudnnSupport, LengthsAndMasks) {
  const CudnnDescriptor device = h100();
  for (const int64_t length : {2, 17, 127, 1000, 1024, 4096, 4099})
    for (const bool causal : {true, false}) {
      SdpaShape s = batch_of(length > 2000 ? 1 : 3, 8, 2, length, 64, 64);
      s.causal = causal;
      expect_taken(s, device);
    }
  SdpaShape other_keys = batch_of(2, 8, 2, 100, 64, 64);
  other_keys.kv_length = 333;
  other_keys.causal = false;
  expect_taken(other_keys, device);
}

TEST(CudnnSupport, RaggedBatches) {
  const CudnnDescriptor device = h100();
  for (const int64_t batch : {1, 2, 64})
    for (const int64_t length : {128, 1280, 4096})
      for (const bool causal : {true, false}) {
        SdpaShape s = batch_of(batch, 4, 4, length, 128, 128);
        s.ragged = true;
        s.causal = causal;
        expect_taken(s, device);
      }
}

// What sdpa_may_support leaves to our own kernels is indeed not taken.
TEST(CudnnSupport, OddHeadSizesAreNotTaken) {
  const CudnnDescriptor device = h100();
  for (const auto& [qk, v] : {std::pair<int64_t, int64_t>{68, 68}, {7, 7}, {192, 129}, {264, 264}}) {
    const SdpaShape s = batch_of(1, 4, 4, 512, qk, v);
    EXPECT_FALSE(sdpa_may_support(qk, v)) << describe(s);
    EXPECT_EQ(workspace_of(sdpa_backward_graph(s), device), -1) << describe(s);
  }
}

// A GPU that the description says is older has no engine: the answers depend on the description, not on luck.
TEST(CudnnSupport, AnOldGpuTakesNothing) {
  std::ifstream file(STRATA_SOURCE_DIR "/tests/core/ops/cudnn/h100.json");
  std::string json{std::istreambuf_iterator<char>(file), {}};
  json.replace(json.find("900"), 3, "700");
  const CudnnDescriptor device = cudnn_device(json);
  EXPECT_EQ(workspace_of(sdpa_backward_graph(batch_of(1, 4, 4, 512, 128, 128)), device), -1);
}

}  // namespace
}  // namespace strata::cuda
