// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/cudnn/cudnn_graph.h"

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata::cuda {

void cudnn_check(cudnnStatus_t status, std::string_view call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> words{};
  cudnnGetLastErrorString(words.data(), words.size() - 1);
  throw Error(Fault::environment,
              {.what = "cuDNN refused a call",
               .where = std::string(call),
               .found = fmt::format("{}: {}", cudnnGetErrorString(status), words.data()),
               .fix = "check that the cuDNN library belongs to the CUDA toolkit Strata was "
                      "built with (strata doctor)"});
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t made = nullptr;
  cudnn_check(cudnnBackendCreateDescriptor(type, &made), "cudnnBackendCreateDescriptor");
  raw_.reset(made);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                          const void* values) {
  const cudnnStatus_t status = cudnnBackendSetAttribute(raw(), name, type, count, values);
  if (status != CUDNN_STATUS_SUCCESS)
    cudnn_check(status, fmt::format("cudnnBackendSetAttribute({})", static_cast<int>(name)));
}

cudnnStatus_t CudnnDescriptor::try_finalize() { return cudnnBackendFinalize(raw()); }
void CudnnDescriptor::finalize(std::string_view what) { cudnn_check(try_finalize(), what); }

int64_t CudnnDescriptor::get_int64(cudnnBackendAttributeName_t name) const {
  int64_t value = 0, count = 0;
  cudnn_check(cudnnBackendGetAttribute(raw(), name, CUDNN_TYPE_INT64, 1, &count, &value),
              "cudnnBackendGetAttribute");
  return value;
}

std::vector<cudnnBackendNumericalNote_t> CudnnDescriptor::numerical_notes() const {
  std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  int64_t count = 0;
  cudnn_check(cudnnBackendGetAttribute(raw(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                       static_cast<int64_t>(notes.size()), &count, notes.data()),
              "cudnnBackendGetAttribute(numerical notes)");
  notes.resize(static_cast<size_t>(count));
  return notes;
}

const CudnnDescriptor& CudnnGraph::descriptor_of(int64_t id) const {
  for (size_t i = 0; i < ids_.size(); ++i)
    if (ids_[i] == id) return tensors_[i];
  throw ContractError(fmt::format("[cudnn] no tensor {} in the graph", id));
}

GraphValue CudnnGraph::add(const GraphTensor& tensor) {
  CudnnDescriptor made(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  const int64_t id = tensor.id > 0 ? tensor.id : next_inner_id_++;
  made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, tensor.type);
  made.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(tensor.extent));
  made.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(tensor.stride));
  made.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{16});
  made.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, tensor.id == 0);
  if (tensor.scalar) made.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  if (tensor.offsets) made.set(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, descriptor_of(tensor.offsets));
  made.finalize("cuDNN tensor descriptor");
  tensors_.push_back(std::move(made));
  ids_.push_back(id);
  return {tensors_.size() - 1, tensor};
}

GraphValue CudnnGraph::constant(float value) {
  const int64_t id = next_inner_id_++;
  constants_.push_back({id, value});
  return add(
      {.extent = {1, 1, 1, 1}, .stride = {1, 1, 1, 1}, .type = CUDNN_DATA_FLOAT, .id = id, .scalar = true});
}

void CudnnGraph::matmul(const GraphValue& a, const GraphValue& b, const GraphValue& out,
                        const Limits& limits) {
  CudnnDescriptor math(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  math.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
  math.finalize("cuDNN matmul descriptor");
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, at(a));
  made.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, at(b));
  made.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, at(out));
  made.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, math);
  if (limits.rows) made.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, at(*limits.rows));
  if (limits.columns) made.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, at(*limits.columns));
  if (limits.inner) made.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, at(*limits.inner));
  made.finalize("cuDNN matmul operation");
  parts_.push_back(std::move(math));
  operations_.push_back(std::move(made));
}

void CudnnGraph::operation(cudnnPointwiseMode_t mode, std::span<const GraphValue* const> inputs,
                           const GraphValue& out, cudnnDataType_t math, int64_t axis) {
  CudnnDescriptor kind(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  kind.set(CUDNN_ATTR_POINTWISE_MODE, mode);
  kind.set(CUDNN_ATTR_POINTWISE_MATH_PREC, math);
  if (axis >= 0) kind.set(CUDNN_ATTR_POINTWISE_AXIS, axis);
  kind.finalize("cuDNN pointwise descriptor");
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
  constexpr std::array kInputs = {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                                  CUDNN_ATTR_OPERATION_POINTWISE_TDESC};
  for (size_t i = 0; i < inputs.size(); ++i) made.set(kInputs[i], at(*inputs[i]));
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(out));
  made.finalize("cuDNN pointwise operation");
  parts_.push_back(std::move(kind));
  operations_.push_back(std::move(made));
}

void CudnnGraph::pointwise_to(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& out) {
  operation(mode, std::array{&x}, out, CUDNN_DATA_FLOAT, -1);
}
void CudnnGraph::pointwise_to(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& y,
                              const GraphValue& out) {
  const bool logical = out.is.type == CUDNN_DATA_BOOLEAN;
  operation(mode, std::array{&x, &y}, out, logical ? CUDNN_DATA_BOOLEAN : CUDNN_DATA_FLOAT, -1);
}
void CudnnGraph::select(const GraphValue& mask, const GraphValue& yes, const GraphValue& no,
                        const GraphValue& out) {
  operation(CUDNN_POINTWISE_BINARY_SELECT, std::array{&yes, &no, &mask}, out, CUDNN_DATA_FLOAT, -1);
}
void CudnnGraph::index(int64_t axis, const GraphValue& like, const GraphValue& out) {
  operation(CUDNN_POINTWISE_GEN_INDEX, std::array{&like}, out, CUDNN_DATA_INT32, axis);
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
  CudnnDescriptor kind(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  kind.set(CUDNN_ATTR_REDUCTION_OPERATOR, op);
  kind.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  kind.finalize("cuDNN reduction descriptor");
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, at(x));
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, at(out));
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind);
  made.finalize("cuDNN reduction operation");
  parts_.push_back(std::move(kind));
  operations_.push_back(std::move(made));
}

void CudnnGraph::reshape(const GraphValue& x, const GraphValue& out) {
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, at(x));
  made.set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, at(out));
  made.finalize("cuDNN reshape operation");
  operations_.push_back(std::move(made));
}

CudnnDescriptor CudnnGraph::finish() const {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const CudnnDescriptor& operation : operations_) raw.push_back(operation.raw());
  CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const cudnnBackendDescriptor_t>(raw));
  graph.finalize("cuDNN operation graph");
  return graph;
}

}  // namespace strata::cuda
