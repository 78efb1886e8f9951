// SPDX-License-Identifier: Apache-2.0
// Which of cuDNN's engines runs a graph: the library's own ranking for a GPU, without engines whose bits
// change from run to run. The GPU may be a real one or a description of one, so that a machine without a GPU
// can tell what is supported.
#pragma once

#include <string>

#include "core/ops/cuda/cudnn/cudnn_lowering.h"

namespace strata::cuda {

CudnnDescriptor cudnn_device(int index);
// From the JSON text that cuDNN itself writes of a GPU (cudnn_device_json).
CudnnDescriptor cudnn_device(std::string_view json);
std::string cudnn_device_json(const CudnnDescriptor& device);

// Configurations that the library accepts for the graph, best first; empty when there is none.
std::vector<CudnnDescriptor> cudnn_engine_configs(const LoweredGraph& graph, const CudnnDescriptor& device);

}  // namespace strata::cuda
