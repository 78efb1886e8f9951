// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/cudnn/sdpa_graph.h"

#include <limits>

namespace strata::cuda {
namespace {

Extents contiguous(const Extents& e) { return {e[1] * e[2] * e[3], e[2] * e[3], e[3], 1}; }

}  // namespace

SdpaParts::SdpaParts(CudnnGraph& graph, const SdpaShape& shape) : graph_(graph), shape_(shape) {
  if (!shape.ragged) return;
  const GraphTensor lengths{
      .extent = {shape.batch, 1, 1, 1}, .stride = {1, 1, 1, 1}, .type = CUDNN_DATA_INT32};
  GraphTensor q = lengths, kv = lengths;
  q.id = kSdpaQLengths;
  kv.id = kSdpaKvLengths;
  q_lengths_ = graph.add(q);
  kv_lengths_ = graph.add(kv);
}

GraphValue SdpaParts::operand(SdpaOperand which, bool transposed) {
  const SdpaShape& s = shape_;
  const bool query = is_query_side(which);
  const bool of_values = which == kSdpaV || which == kSdpaOut || which == kSdpaDOut || which == kSdpaDV;
  const int64_t heads = query ? s.heads : s.kv_heads, length = query ? s.q_length : s.kv_length;
  const int64_t dim = of_values ? s.v_dim : s.qk_dim, stride = s.stride[which];
  GraphTensor tensor{.extent = {s.batch, heads, length, dim},
                     .stride = {length * stride, dim, stride, 1},
                     .id = sdpa_operand_id(which)};
  if (s.ragged) {
    tensor.offsets = sdpa_offsets_id(which);
    graph_.add({.extent = {s.batch + 1, 1, 1, 1},
                .stride = {1, 1, 1, 1},
                .type = CUDNN_DATA_INT32,
                .id = tensor.offsets});
  }
  if (transposed) {
    std::swap(tensor.extent[2], tensor.extent[3]);
    std::swap(tensor.stride[2], tensor.stride[3]);
  }
  return graph_.add(tensor);
}

GraphValue SdpaParts::per_query(int64_t id) {
  const Extents extent{shape_.batch, shape_.heads, shape_.q_length, 1};
  return graph_.add({.extent = extent, .stride = contiguous(extent), .type = CUDNN_DATA_FLOAT, .id = id});
}

GraphValue SdpaParts::inside(const Extents& extent, cudnnDataType_t type) {
  return graph_.add({.extent = extent, .stride = contiguous(extent), .type = type});
}

GraphValue SdpaParts::scores() {
  return inside({shape_.batch, shape_.heads, shape_.q_length, shape_.kv_length});
}

GraphValue SdpaParts::padding_masked(const GraphValue& x) {
  if (!shape_.ragged) return x;
  const GraphValue row = inside(x.is.extent, CUDNN_DATA_INT32),
                   column = inside(x.is.extent, CUDNN_DATA_INT32);
  graph_.index(2, x, row);
  graph_.index(3, x, column);
  const GraphValue row_is = graph_.pointwise(CUDNN_POINTWISE_CMP_LT, row, q_lengths_, CUDNN_DATA_BOOLEAN);
  const GraphValue column_is =
      graph_.pointwise(CUDNN_POINTWISE_CMP_LT, column, kv_lengths_, CUDNN_DATA_BOOLEAN);
  const GraphValue both =
      graph_.pointwise(CUDNN_POINTWISE_LOGICAL_AND, row_is, column_is, CUDNN_DATA_BOOLEAN);
  const GraphValue out = inside(x.is.extent);
  graph_.select(both, x, graph_.constant(-std::numeric_limits<float>::infinity()), out);
  return out;
}

GraphValue SdpaParts::causal_masked(const GraphValue& x) {
  if (!shape_.causal) return x;
  const GraphValue row = inside(x.is.extent, CUDNN_DATA_INT32),
                   column = inside(x.is.extent, CUDNN_DATA_INT32);
  graph_.index(2, x, row);
  graph_.index(3, x, column);
  const GraphValue seen = graph_.pointwise(CUDNN_POINTWISE_CMP_GE, row, column, CUDNN_DATA_BOOLEAN);
  const GraphValue out = inside(x.is.extent);
  graph_.select(seen, x, graph_.constant(-std::numeric_limits<float>::infinity()), out);
  return out;
}

CudnnGraph sdpa_forward_graph(const SdpaShape& shape) {
  CudnnGraph graph;
  SdpaParts parts(graph, shape);
  const GraphValue q = parts.operand(kSdpaQ), k = parts.operand(kSdpaK, true), v = parts.operand(kSdpaV);
  const GraphValue out = parts.operand(kSdpaOut), stats = parts.per_query(kSdpaStats);

  const GraphValue products = parts.scores();
  graph.matmul(q, k, products, {.rows = parts.q_lengths(), .columns = parts.kv_lengths()});
  const GraphValue scaled = graph.pointwise(CUDNN_POINTWISE_MUL, products, graph.constant(shape.scale));
  const GraphValue masked = parts.causal_masked(parts.padding_masked(scaled));

  const GraphValue largest = parts.inside(stats.is.extent), sum = parts.inside(stats.is.extent);
  graph.reduce(CUDNN_REDUCE_TENSOR_MAX, masked, largest);
  const GraphValue weights =
      graph.pointwise(CUDNN_POINTWISE_EXP, graph.pointwise(CUDNN_POINTWISE_SUB, masked, largest));
  graph.reduce(CUDNN_REDUCE_TENSOR_ADD, weights, sum);
  graph.pointwise_to(CUDNN_POINTWISE_ADD, largest, graph.pointwise(CUDNN_POINTWISE_LOG, sum), stats);
  const GraphValue probabilities = parts.inside(weights.is.extent, CUDNN_DATA_BFLOAT16);
  graph.pointwise_to(CUDNN_POINTWISE_DIV, weights, sum, probabilities);
  graph.matmul(probabilities, v, out, {.rows = parts.q_lengths(), .inner = parts.kv_lengths()});
  return graph;
}

}  // namespace strata::cuda
