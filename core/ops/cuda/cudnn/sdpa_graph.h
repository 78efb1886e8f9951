// SPDX-License-Identifier: Apache-2.0
// Attention as graphs of cuDNN operations, in the shape its fused attention engines know (NVIDIA, cuDNN
// backend documentation, "fused attention fprop / bprop"; Dao 2023, FlashAttention-2, for the mathematics):
//   forward    S = scale . Q K^T, masked; P = softmax(S); out = P V; stats = max + log(sum)
//   backward   P = exp(S - stats); dV = P^T dOut; dS = scale . P (dOut V^T - rowsum(dOut . out)); dK = dS^T
//   Q;
//              dQ = dS K
#pragma once

#include "core/ops/cuda/cudnn/cudnn_graph.h"
#include "core/ops/cuda/sdpa.h"

namespace strata::cuda {

// Unique ids of the tensors a run gives memory for.
enum SdpaId : int64_t {
  kSdpaStats = 20,
  kSdpaDelta = 21,  // f32 [batch, heads, q_length], working memory of backward: rowsum(dOut . out)
  kSdpaQLengths = 22,
  kSdpaKvLengths = 23,
};
constexpr int64_t sdpa_operand_id(int operand) { return 1 + operand; }
constexpr int64_t sdpa_offsets_id(int operand) { return 30 + operand; }

CudnnGraph sdpa_forward_graph(const SdpaShape& shape);
CudnnGraph sdpa_backward_graph(const SdpaShape& shape);

inline int64_t sdpa_delta_bytes(const SdpaShape& s) {
  return s.batch * s.heads * s.q_length * static_cast<int64_t>(sizeof(float));
}

// What both have: operands, tables and masked scores.
class SdpaParts {
 public:
  SdpaParts(CudnnGraph& graph, const SdpaShape& shape);

  // `transposed`: [batch, head, column, token], the memory being the same.
  GraphValue operand(SdpaOperand which, bool transposed = false);
  GraphValue per_query(int64_t id);  // f32 [batch, heads, q_length, 1]
  GraphValue scores();               // an f32 [batch, heads, q_length, kv_length] inside the graph
  GraphValue inside(const Extents& extent, cudnnDataType_t type = CUDNN_DATA_FLOAT);

  GraphValue padding_masked(const GraphValue& x);  // of a ragged batch: -inf past the ends
  GraphValue causal_masked(const GraphValue& x);
  const GraphValue* q_lengths() const { return shape_.ragged ? &q_lengths_ : nullptr; }
  const GraphValue* kv_lengths() const { return shape_.ragged ? &kv_lengths_ : nullptr; }

 private:
  CudnnGraph& graph_;
  const SdpaShape shape_;
  GraphValue q_lengths_, kv_lengths_;
};

}  // namespace strata::cuda
