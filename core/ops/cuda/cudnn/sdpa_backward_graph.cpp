// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/cudnn/sdpa_graph.h"

namespace strata::cuda {
namespace {

// left^T . right into a gradient of keys or values: over the query heads that share a key/value head, summed.
void transposed_product(CudnnGraph& graph, SdpaParts& parts, const GraphValue& left, const GraphValue& right,
                        const GraphValue& gradient) {
  const Extents& e = left.is.extent;
  // Transposed in place: an operand of the tensor cores' type, columns next to each other.
  const GraphValue turned = graph.add({.extent = {e[0], e[1], e[3], e[2]},
                                       .stride = {left.is.stride[0], left.is.stride[1], 1, left.is.stride[2]},
                                       .type = CUDNN_DATA_BFLOAT16});
  graph.reshape(left, turned);
  const CudnnGraph::Limits limits{.rows = parts.kv_lengths(), .inner = parts.q_lengths()};
  if (gradient.is.extent[1] == e[1]) {
    graph.matmul(turned, right, gradient, limits);
    return;
  }
  const GraphValue of_query_heads =
      parts.inside({e[0], e[1], e[3], gradient.is.extent[3]}, CUDNN_DATA_BFLOAT16);
  graph.matmul(turned, right, of_query_heads, limits);
  graph.reduce(CUDNN_REDUCE_TENSOR_ADD, of_query_heads, gradient);
}

}  // namespace

// dQ is a product of the stored dS (an engine that gives the same bits every time keeps it in working
// memory), not a sum into memory by blocks in the order of their finishing.
CudnnGraph sdpa_backward_graph(const SdpaShape& shape) {
  CudnnGraph graph;
  SdpaParts parts(graph, shape);
  const GraphValue q = parts.operand(kSdpaQ), k = parts.operand(kSdpaK, true),
                   v = parts.operand(kSdpaV, true);
  const GraphValue out = parts.operand(kSdpaOut), dout = parts.operand(kSdpaDOut);
  const GraphValue dq = parts.operand(kSdpaDQ), dk = parts.operand(kSdpaDK), dv = parts.operand(kSdpaDV);
  const GraphValue stats = parts.per_query(kSdpaStats), delta = parts.per_query(kSdpaDelta);
  const CudnnGraph::Limits of_scores{.rows = parts.q_lengths(), .columns = parts.kv_lengths()};

  const GraphValue dout_out = parts.inside(out.is.extent), row_sum = parts.inside(delta.is.extent);
  graph.pointwise_to(CUDNN_POINTWISE_MUL, dout, out, dout_out);
  graph.reduce(CUDNN_REDUCE_TENSOR_ADD, dout_out, row_sum);
  graph.pointwise_to(CUDNN_POINTWISE_MUL, row_sum, graph.constant(1),
                     delta);  // where dropout's scale would be

  const GraphValue products = parts.scores();
  graph.matmul(q, k, products, of_scores);
  const GraphValue scaled = graph.pointwise(CUDNN_POINTWISE_MUL, products, graph.constant(shape.scale));
  const GraphValue shifted = graph.pointwise(CUDNN_POINTWISE_SUB, parts.padding_masked(scaled), stats);
  const GraphValue p = graph.pointwise(CUDNN_POINTWISE_EXP, parts.causal_masked(shifted));
  transposed_product(graph, parts, p, dout, dv);

  const GraphValue dp = parts.scores();
  graph.matmul(dout, v, dp, of_scores);
  const GraphValue ds_unscaled =
      graph.pointwise(CUDNN_POINTWISE_MUL, graph.pointwise(CUDNN_POINTWISE_SUB, dp, delta), p);
  const GraphValue ds = graph.pointwise(CUDNN_POINTWISE_MUL, ds_unscaled, graph.constant(shape.scale));
  transposed_product(graph, parts, ds, q, dk);

  GraphTensor rows = k.is;  // keys as rows again, for dS . K
  rows.id = 0;
  std::swap(rows.extent[2], rows.extent[3]);
  std::swap(rows.stride[2], rows.stride[3]);
  const GraphValue keys = graph.add(rows);
  graph.reshape(k, keys);
  graph.matmul(ds, keys, dq, {.rows = parts.q_lengths(), .inner = parts.kv_lengths()});
  return graph;
}

}  // namespace strata::cuda
