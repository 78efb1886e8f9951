// SPDX-License-Identifier: Apache-2.0
// What NVML says of one GPU's connections; core/device/gpu_topology.h puts them together.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/device/cuda/nvml.h"
#include "core/device/gpu_topology.h"

namespace strata {

// Without the library (null) nothing is known.
GpuSlot slot_of(const Nvml* nvml, const std::string& bus_id);

// Active NVLinks of one GPU.
struct NvLinks {
  std::vector<int> to_gpus;  // to each of `others`, directly
  int to_switches = 0;       // these reach every GPU of the same switches
};
NvLinks nvlinks_of(const Nvml* nvml, const std::string& bus_id, std::span<const std::string> others);

}  // namespace strata
