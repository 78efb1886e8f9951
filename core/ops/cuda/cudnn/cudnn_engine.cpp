// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/cudnn/cudnn_engine.h"

#include <algorithm>

namespace strata::cuda {

CudnnDescriptor cudnn_device(int index) {
  CudnnDescriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, static_cast<int32_t>(index));
  device.finalize("cuDNN device properties");
  return device;
}

CudnnDescriptor cudnn_device(std::string_view json) {
  CudnnDescriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(json));
  device.finalize("cuDNN device properties");
  return device;
}

std::string cudnn_device_json(const CudnnDescriptor& device) {
  int64_t size = 0;
  cudnn_check(cudnnBackendGetAttribute(device.raw(), CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                       CUDNN_TYPE_CHAR, 0, &size, nullptr),
              "cudnnBackendGetAttribute(device properties)");
  std::string json(static_cast<size_t>(size), '\0');
  cudnn_check(cudnnBackendGetAttribute(device.raw(), CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                       CUDNN_TYPE_CHAR, size, &size, json.data()),
              "cudnnBackendGetAttribute(device properties)");
  return json.substr(0, json.find('\0'));
}

namespace {

// The ranking of one mode: the library fills in configurations that are given to it.
std::vector<CudnnDescriptor> ranked(const CudnnDescriptor& graph, const CudnnDescriptor& device,
                                    cudnnBackendHeurMode_t mode) {
  CudnnDescriptor ranking(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  ranking.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  ranking.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  ranking.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
  if (ranking.try_finalize() != CUDNN_STATUS_SUCCESS) return {};  // nothing for this graph
  int64_t count = 0;
  cudnn_check(cudnnBackendGetAttribute(ranking.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
              "cudnnBackendGetAttribute(ranking)");
  std::vector<CudnnDescriptor> configs;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i) {
    configs.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    raw.push_back(configs.back().raw());
  }
  cudnn_check(cudnnBackendGetAttribute(ranking.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, raw.data()),
              "cudnnBackendGetAttribute(ranking)");
  configs.erase(configs.begin() + count, configs.end());
  return configs;
}

bool is_deterministic(const CudnnDescriptor& config) {
  CudnnDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = engine.raw();
  int64_t count = 0;
  cudnn_check(cudnnBackendGetAttribute(config.raw(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw),
              "cudnnBackendGetAttribute(engine)");
  const auto notes = engine.numerical_notes();
  return std::find(notes.begin(), notes.end(), CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == notes.end();
}

}  // namespace

std::vector<CudnnDescriptor> cudnn_engine_configs(const LoweredGraph& graph, const CudnnDescriptor& device) {
  std::vector<CudnnDescriptor> usable;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (CudnnDescriptor& config : ranked(graph.whole(), device, mode))
      if (is_deterministic(config))
        usable.push_back(std::move(config));  // the ranking has checked that it can run
  return usable;
}

}  // namespace strata::cuda
