// SPDX-License-Identifier: Apache-2.0
// A graph as the descriptors cuDNN takes it in.
#pragma once

#include <vector>

#include "core/ops/cuda/cudnn/cudnn_descriptor.h"
#include "core/ops/cuda/cudnn/cudnn_graph.h"

namespace strata::cuda {

class LoweredGraph {
 public:
  explicit LoweredGraph(const CudnnGraph& graph);
  const CudnnDescriptor& whole() const { return whole_; }

 private:
  const CudnnDescriptor& descriptor_of(int64_t id) const;
  CudnnDescriptor tensor(const GraphTensor& tensor) const;
  CudnnDescriptor matmul(const GraphOperation& operation);
  CudnnDescriptor pointwise(const GraphOperation& operation);
  CudnnDescriptor reduce(const GraphOperation& operation);
  CudnnDescriptor reshape(const GraphOperation& operation);

  const std::vector<GraphTensor> described_;
  std::vector<CudnnDescriptor> tensors_, parts_, operations_;  // the library refers to them
  CudnnDescriptor whole_;
};

}  // namespace strata::cuda
