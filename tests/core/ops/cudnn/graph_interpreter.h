// SPDX-License-Identifier: Apache-2.0
// Computes a CudnnGraph in double: the mathematics of a graph by its operations' definitions (cuDNN's
// documentation of the graph API), without the library, which has fused kernels instead. Nothing is rounded.
// Reading past the end of a ragged sequence gives NaN, writing there does nothing.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/ops/cuda/cudnn/cudnn_graph.h"

namespace strata::cuda {

class GraphInterpreter {
 public:
  // Memory by unique id, in double whatever the tensor's type: read and written.
  using Memory = std::map<int64_t, std::vector<double>>;
  // `lengths_of`: the id of the int32 lengths of a ragged tensor's sequences, by the id of its offsets.
  GraphInterpreter(const CudnnGraph& graph, Memory& memory, std::map<int64_t, int64_t> lengths_of);
  void run();

 private:
  using At = Extents;
  // Where an element lies; -1: past the end of its sequence.
  int64_t place(const GraphTensor& tensor, const At& at) const;
  double read(size_t tensor, const At& at) const;  // extents of 1 stand for all
  void write(size_t tensor, const At& at, double value);
  int64_t limited(int64_t limit, int64_t batch, int64_t extent) const;

  void matmul(const GraphOperation& operation);
  void pointwise(const GraphOperation& operation);
  void reduce(const GraphOperation& operation);

  const CudnnGraph& graph_;
  Memory& memory_;
  std::map<int64_t, int64_t> lengths_of_;
};

}  // namespace strata::cuda
