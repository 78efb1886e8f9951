// SPDX-License-Identifier: Apache-2.0
#include "tests/core/ops/cudnn/graph_interpreter.h"

#include <cmath>
#include <functional>
#include <limits>

#include "core/base/check.h"

namespace strata::cuda {
namespace {

void each(const Extents& extent, const std::function<void(const Extents&)>& body) {
  Extents at{};
  for (at[0] = 0; at[0] < extent[0]; ++at[0])
    for (at[1] = 0; at[1] < extent[1]; ++at[1])
      for (at[2] = 0; at[2] < extent[2]; ++at[2])
        for (at[3] = 0; at[3] < extent[3]; ++at[3]) body(at);
}

double compute(cudnnPointwiseMode_t mode, double x, double y, double mask) {
  switch (mode) {
    case CUDNN_POINTWISE_ADD:
      return x + y;
    case CUDNN_POINTWISE_SUB:
      return x - y;
    case CUDNN_POINTWISE_MUL:
      return x * y;
    case CUDNN_POINTWISE_DIV:
      return x / y;
    case CUDNN_POINTWISE_EXP:
      return std::exp(x);
    case CUDNN_POINTWISE_LOG:
      return std::log(x);
    case CUDNN_POINTWISE_CMP_LT:
      return x < y;
    case CUDNN_POINTWISE_CMP_GE:
      return x >= y;
    case CUDNN_POINTWISE_LOGICAL_AND:
      return x != 0 && y != 0;
    case CUDNN_POINTWISE_BINARY_SELECT:
      return mask != 0 ? x : y;
    default:
      throw ContractError(fmt::format("[interpreter] no pointwise mode {}", static_cast<int>(mode)));
  }
}

}  // namespace

GraphInterpreter::GraphInterpreter(const CudnnGraph& graph, Memory& memory,
                                   std::map<int64_t, int64_t> lengths_of)
    : graph_(graph), memory_(memory), lengths_of_(std::move(lengths_of)) {
  for (const auto& constant : graph.constants()) memory_[constant.id] = {static_cast<double>(constant.value)};
  for (const GraphTensor& t : graph.tensors()) {
    if (!CudnnGraph::is_inside(t)) {
      check(memory_.contains(t.id), "[interpreter] no memory for tensor {}", t.id);
      continue;
    }
    int64_t last = 0;
    for (size_t i = 0; i < 4; ++i) last += (t.extent[i] - 1) * t.stride[i];
    memory_[t.id].assign(static_cast<size_t>(last + 1), 0);
  }
}

int64_t GraphInterpreter::place(const GraphTensor& t, const At& at) const {
  int64_t place = 0;
  for (size_t i = 0; i < 4; ++i)
    place += (t.extent[i] == 1 ? 0 : at[i]) * (i == 0 && t.offsets ? 0 : t.stride[i]);
  if (!t.offsets) return place;
  const auto batch = static_cast<size_t>(at[0]);
  const int64_t token = t.stride[3] == 1 ? at[2] : at[3];
  if (token >= static_cast<int64_t>(memory_.at(lengths_of_.at(t.offsets))[batch])) return -1;
  // What is inside lies by itself, whatever its tensor of the same layout does.
  return place + static_cast<int64_t>(memory_.at(t.offsets)[batch]);
}

double GraphInterpreter::read(size_t tensor, const At& at) const {
  const GraphTensor& t = graph_.tensors()[tensor];
  const int64_t from = place(t, at);
  return from < 0 ? std::numeric_limits<double>::quiet_NaN() : memory_.at(t.id).at(static_cast<size_t>(from));
}

void GraphInterpreter::write(size_t tensor, const At& at, double value) {
  const GraphTensor& t = graph_.tensors()[tensor];
  const int64_t to = place(t, at);
  if (to >= 0) memory_.at(t.id).at(static_cast<size_t>(to)) = value;
}

int64_t GraphInterpreter::limited(int64_t limit, int64_t batch, int64_t extent) const {
  return limit < 0 ? extent : static_cast<int64_t>(read(static_cast<size_t>(limit), {batch, 0, 0, 0}));
}

void GraphInterpreter::matmul(const GraphOperation& operation) {
  const Extents a = graph_.tensors()[operation.inputs[0]].extent,
                b = graph_.tensors()[operation.inputs[1]].extent;
  const Extents out = graph_.tensors()[operation.output].extent;
  check(
      a[3] == b[2] && out[2] == a[2] && out[3] == b[3] && out[1] == a[1] && a[1] % b[1] == 0 && a[0] == b[0],
      "[interpreter] a product of shapes that do not fit");
  each(out, [&](const At& at) {
    if (at[2] >= limited(operation.rows, at[0], a[2]) || at[3] >= limited(operation.columns, at[0], b[3]))
      return;
    double sum = 0;
    for (int64_t i = 0; i < limited(operation.inner, at[0], a[3]); ++i)
      sum += read(operation.inputs[0], {at[0], at[1], at[2], i}) *
             read(operation.inputs[1], {at[0], at[1] / (a[1] / b[1]), i, at[3]});
    write(operation.output, at, sum);
  });
}

void GraphInterpreter::pointwise(const GraphOperation& operation) {
  each(graph_.tensors()[operation.output].extent, [&](const At& at) {
    if (operation.mode == CUDNN_POINTWISE_GEN_INDEX) {
      write(operation.output, at, static_cast<double>(at[static_cast<size_t>(operation.axis)]));
      return;
    }
    std::array<double, 3> in{};
    for (size_t i = 0; i < operation.inputs.size(); ++i) in[i] = read(operation.inputs[i], at);
    write(operation.output, at, compute(operation.mode, in[0], in[1], in[2]));
  });
}

void GraphInterpreter::reduce(const GraphOperation& operation) {
  const Extents from = graph_.tensors()[operation.inputs[0]].extent;
  const Extents to = graph_.tensors()[operation.output].extent;
  const bool is_max = operation.reduction == CUDNN_REDUCE_TENSOR_MAX;
  check(is_max || operation.reduction == CUDNN_REDUCE_TENSOR_ADD, "[interpreter] another reduction");
  Extents share{};  // how many elements of a dimension become one: neighbours
  for (size_t i = 0; i < 4; ++i) share[i] = from[i] / to[i];
  each(to, [&](const At& at) {
    double result = is_max ? -std::numeric_limits<double>::infinity() : 0;
    each(share, [&](const At& part) {
      At of{};
      for (size_t i = 0; i < 4; ++i) of[i] = at[i] * share[i] + part[i];
      const double x = read(operation.inputs[0], of);
      result = is_max ? std::max(result, x) : result + x;
    });
    write(operation.output, at, result);
  });
}

void GraphInterpreter::run() {
  for (const GraphOperation& operation : graph_.operations()) switch (operation.kind) {
      case GraphOperation::Kind::matmul:
        matmul(operation);
        break;
      case GraphOperation::Kind::pointwise:
        pointwise(operation);
        break;
      case GraphOperation::Kind::reduce:
        reduce(operation);
        break;
      case GraphOperation::Kind::reshape:  // the same memory seen another way
        memory_[graph_.tensors()[operation.output].id] = memory_.at(graph_.tensors()[operation.inputs[0]].id);
        break;
    }
}

}  // namespace strata::cuda
