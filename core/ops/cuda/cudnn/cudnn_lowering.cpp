// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/cudnn/cudnn_lowering.h"

#include "core/base/check.h"

namespace strata::cuda {

LoweredGraph::LoweredGraph(const CudnnGraph& graph)
    : described_(graph.tensors()), whole_(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
  for (const GraphTensor& one : described_) tensors_.push_back(tensor(one));
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const GraphOperation& operation : graph.operations()) {
    switch (operation.kind) {
      case GraphOperation::Kind::matmul:
        operations_.push_back(matmul(operation));
        break;
      case GraphOperation::Kind::pointwise:
        operations_.push_back(pointwise(operation));
        break;
      case GraphOperation::Kind::reduce:
        operations_.push_back(reduce(operation));
        break;
      case GraphOperation::Kind::reshape:
        operations_.push_back(reshape(operation));
        break;
    }
    raw.push_back(operations_.back().raw());
  }
  whole_.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const cudnnBackendDescriptor_t>(raw));
  whole_.finalize("cuDNN operation graph");
}

const CudnnDescriptor& LoweredGraph::descriptor_of(int64_t id) const {
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (described_[i].id == id) return tensors_[i];
  throw ContractError(fmt::format("[cudnn] no tensor {} in the graph", id));
}

CudnnDescriptor LoweredGraph::tensor(const GraphTensor& t) const {
  CudnnDescriptor made(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, t.id);
  made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, t.type);
  made.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(t.extent));
  made.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(t.stride));
  made.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{16});
  made.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CudnnGraph::is_inside(t));
  if (t.scalar) made.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  if (t.offsets) made.set(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, descriptor_of(t.offsets));
  made.finalize("cuDNN tensor");
  return made;
}

CudnnDescriptor LoweredGraph::matmul(const GraphOperation& operation) {
  CudnnDescriptor& kind = parts_.emplace_back(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  kind.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
  kind.finalize("cuDNN matmul");
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, tensors_[operation.inputs[0]]);
  made.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, tensors_[operation.inputs[1]]);
  made.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, tensors_[operation.output]);
  made.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, kind);
  const auto limit = [&](cudnnBackendAttributeName_t name, int64_t index) {
    if (index >= 0) made.set(name, tensors_[static_cast<size_t>(index)]);
  };
  limit(CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, operation.rows);
  limit(CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, operation.columns);
  limit(CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, operation.inner);
  made.finalize("cuDNN matmul operation");
  return made;
}

CudnnDescriptor LoweredGraph::pointwise(const GraphOperation& operation) {
  CudnnDescriptor& kind = parts_.emplace_back(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  kind.set(CUDNN_ATTR_POINTWISE_MODE, operation.mode);
  kind.set(CUDNN_ATTR_POINTWISE_MATH_PREC, operation.math);
  if (operation.axis >= 0) kind.set(CUDNN_ATTR_POINTWISE_AXIS, operation.axis);
  kind.finalize("cuDNN pointwise");
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
  constexpr std::array kInputs = {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                                  CUDNN_ATTR_OPERATION_POINTWISE_TDESC};
  for (size_t i = 0; i < operation.inputs.size(); ++i) made.set(kInputs[i], tensors_[operation.inputs[i]]);
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors_[operation.output]);
  made.finalize("cuDNN pointwise operation");
  return made;
}

CudnnDescriptor LoweredGraph::reduce(const GraphOperation& operation) {
  CudnnDescriptor& kind = parts_.emplace_back(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  kind.set(CUDNN_ATTR_REDUCTION_OPERATOR, operation.reduction);
  kind.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  kind.finalize("cuDNN reduction");
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, tensors_[operation.inputs[0]]);
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, tensors_[operation.output]);
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind);
  made.finalize("cuDNN reduction operation");
  return made;
}

CudnnDescriptor LoweredGraph::reshape(const GraphOperation& operation) {
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, tensors_[operation.inputs[0]]);
  made.set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, tensors_[operation.output]);
  made.finalize("cuDNN reshape operation");
  return made;
}

}  // namespace strata::cuda
