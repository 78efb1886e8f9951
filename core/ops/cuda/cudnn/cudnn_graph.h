// SPDX-License-Identifier: Apache-2.0
// A graph of operations on 4-dimensional tensors as plain data, in cuDNN's words: it grows an operation at a
// time, and is given to the library afterwards (cudnn_engine.h). What it computes is its caller's matter.
#pragma once

#include <cudnn_graph.h>

#include <array>
#include <cstdint>
#include <vector>

namespace strata::cuda {

using Extents = std::array<int64_t, 4>;  // batch, head, row, column

// What a tensor of the graph is. `offsets`: the unique id of an int32 tensor [batch + 1, 1, 1, 1] of where
// each batch begins, in elements; 0: batches lie stride[0] apart.
struct GraphTensor {
  Extents extent{}, stride{};
  cudnnDataType_t type = CUDNN_DATA_BFLOAT16;
  int64_t id = 0;  // positive: memory that each run gives; 0: exists only inside
  int64_t offsets = 0;
  bool scalar = false;  // its value is given from the host's memory
};

// A tensor in a graph: an index, with what the next operation must know of it.
struct GraphValue {
  size_t index = 0;
  GraphTensor is;
};

// Indices of tensors; -1: none.
struct GraphOperation {
  enum class Kind { matmul, pointwise, reduce, reshape } kind = Kind::pointwise;
  std::vector<size_t> inputs;
  size_t output = 0;
  cudnnPointwiseMode_t mode{};                  // pointwise
  cudnnDataType_t math = CUDNN_DATA_FLOAT;      // pointwise
  int64_t axis = -1;                            // CUDNN_POINTWISE_GEN_INDEX
  cudnnReduceTensorOp_t reduction{};            // reduce: over the dimensions in which the output is smaller
  int64_t rows = -1, columns = -1, inner = -1;  // matmul: how much of each batch counts
};

class CudnnGraph {
 public:
  GraphValue add(const GraphTensor& tensor);
  // A number of the host that is the same for every run.
  GraphValue constant(float value);

  // Row-by-column products of the last two dimensions, f32 sums; heads of the first operand may be a multiple
  // of those of the second. With limits (int32 [batch, 1, 1, 1]) only so much of each batch.
  struct Limits {
    const GraphValue *rows = nullptr, *columns = nullptr, *inner = nullptr;
  };
  void matmul(const GraphValue& a, const GraphValue& b, const GraphValue& out, const Limits& limits);

  // Operands of extent 1 in a dimension stand for all of it.
  void pointwise_to(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& out);
  void pointwise_to(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& y,
                    const GraphValue& out);
  void select(const GraphValue& mask, const GraphValue& yes, const GraphValue& no, const GraphValue& out);
  void index(int64_t axis, const GraphValue& like, const GraphValue& out);  // int32
  void reduce(cudnnReduceTensorOp_t op, const GraphValue& x, const GraphValue& out);
  void reshape(const GraphValue& x, const GraphValue& out);  // rows and columns change places

  // The same, with a result that exists only inside and looks like x.
  GraphValue pointwise(cudnnPointwiseMode_t mode, const GraphValue& x);
  GraphValue pointwise(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& y,
                       cudnnDataType_t type = CUDNN_DATA_FLOAT);

  struct Constant {
    int64_t id;
    float value;
  };
  const std::vector<Constant>& constants() const { return constants_; }
  const std::vector<GraphTensor>& tensors() const { return tensors_; }  // ids all positive
  const std::vector<GraphOperation>& operations() const { return operations_; }
  static bool is_inside(const GraphTensor& tensor) { return tensor.id >= kFirstInside; }

 private:
  static constexpr int64_t kFirstConstant = 1000, kFirstInside = 2000;
  std::vector<GraphTensor> tensors_;
  std::vector<GraphOperation> operations_;
  std::vector<Constant> constants_;
};

}  // namespace strata::cuda
