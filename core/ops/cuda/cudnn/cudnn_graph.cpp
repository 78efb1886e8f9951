// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/cudnn/cudnn_graph.h"

namespace strata::cuda {

GraphValue CudnnGraph::add(const GraphTensor& tensor) {
  tensors_.push_back(tensor);
  if (tensor.id == 0) tensors_.back().id = kFirstInside + static_cast<int64_t>(tensors_.size());
  return {tensors_.size() - 1, tensor};
}

GraphValue CudnnGraph::constant(float value) {
  const int64_t id = kFirstConstant + static_cast<int64_t>(constants_.size());
  constants_.push_back({id, value});
  return add(
      {.extent = {1, 1, 1, 1}, .stride = {1, 1, 1, 1}, .type = CUDNN_DATA_FLOAT, .id = id, .scalar = true});
}

void CudnnGraph::matmul(const GraphValue& a, const GraphValue& b, const GraphValue& out,
                        const Limits& limits) {
  const auto index_of = [](const GraphValue* value) {
    return value ? static_cast<int64_t>(value->index) : -1;
  };
  operations_.push_back({.kind = GraphOperation::Kind::matmul,
                         .inputs = {a.index, b.index},
                         .output = out.index,
                         .rows = index_of(limits.rows),
                         .columns = index_of(limits.columns),
                         .inner = index_of(limits.inner)});
}

void CudnnGraph::pointwise_to(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& out) {
  operations_.push_back({.inputs = {x.index}, .output = out.index, .mode = mode});
}
void CudnnGraph::pointwise_to(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& y,
                              const GraphValue& out) {
  const bool logical = out.is.type == CUDNN_DATA_BOOLEAN;
  operations_.push_back({.inputs = {x.index, y.index},
                         .output = out.index,
                         .mode = mode,
                         .math = logical ? CUDNN_DATA_BOOLEAN : CUDNN_DATA_FLOAT});
}
void CudnnGraph::select(const GraphValue& mask, const GraphValue& yes, const GraphValue& no,
                        const GraphValue& out) {
  operations_.push_back({.inputs = {yes.index, no.index, mask.index},
                         .output = out.index,
                         .mode = CUDNN_POINTWISE_BINARY_SELECT});
}
void CudnnGraph::index(int64_t axis, const GraphValue& like, const GraphValue& out) {
  operations_.push_back({.inputs = {like.index},
                         .output = out.index,
                         .mode = CUDNN_POINTWISE_GEN_INDEX,
                         .math = CUDNN_DATA_INT32,
                         .axis = axis});
}

GraphValue CudnnGraph::pointwise(cudnnPointwiseMode_t mode, const GraphValue& x) {
  const GraphValue out = add({.extent = x.is.extent, .stride = x.is.stride, .type = CUDNN_DATA_FLOAT});
  pointwise_to(mode, x, out);
  return out;
}
GraphValue CudnnGraph::pointwise(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& y,
                                 cudnnDataType_t type) {
  const GraphValue out = add({.extent = x.is.extent, .stride = x.is.stride, .type = type});
  pointwise_to(mode, x, y, out);
  return out;
}

void CudnnGraph::reduce(cudnnReduceTensorOp_t op, const GraphValue& x, const GraphValue& out) {
  operations_.push_back(
      {.kind = GraphOperation::Kind::reduce, .inputs = {x.index}, .output = out.index, .reduction = op});
}
void CudnnGraph::reshape(const GraphValue& x, const GraphValue& out) {
  operations_.push_back({.kind = GraphOperation::Kind::reshape, .inputs = {x.index}, .output = out.index});
}

}  // namespace strata::cuda
