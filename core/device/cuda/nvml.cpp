// SPDX-License-Identifier: Apache-2.0
#include "core/device/cuda/nvml.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>

#include "core/device/cuda/cuda_error.h"

namespace strata {

std::shared_ptr<const Nvml> Nvml::open(const std::string& library) {
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return nullptr;
  const std::shared_ptr<Nvml> opened(new Nvml(handle));
  opened->started_ = opened->ask("nvmlInit_v2");
  return opened->started_ ? opened : nullptr;
}

Nvml::~Nvml() {
  if (started_) ask("nvmlShutdown");
  dlclose(handle_);
}

void* Nvml::device(const std::string& pci_bus_id) const {
  void* device = nullptr;
  return ask("nvmlDeviceGetHandleByPciBusId_v2", pci_bus_id.c_str(), &device) ? device : nullptr;
}

void* Nvml::find(const char* function) const { return dlsym(handle_, function); }

std::string pci_bus_id(int index) {
  std::array<char, 32> id{};
  cuda_check(cudaDeviceGetPCIBusId(id.data(), static_cast<int>(id.size()), index), "cudaDeviceGetPCIBusId");
  return id.data();
}

}  // namespace strata
