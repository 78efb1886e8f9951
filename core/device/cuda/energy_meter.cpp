// SPDX-License-Identifier: Apache-2.0
#include "core/device/cuda/energy_meter.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>

#include "core/device/cuda/cuda_error.h"

namespace strata {

// The functions of NVML that are used (NVIDIA, NVML API reference): each gives 0 for success. A device is a
// pointer of the library's.
struct EnergyMeter::Library {
  using Call = int (*)();
  using DeviceByBusId = int (*)(const char* bus_id, void** device);
  using TotalEnergy = int (*)(void* device, unsigned long long* millijoules);

  void* handle = nullptr;
  Call start = nullptr, stop = nullptr;
  DeviceByBusId device_by_bus_id = nullptr;
  TotalEnergy total_energy = nullptr;
  bool started = false;

  explicit Library(const std::string& path) : handle(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!handle) return;
    start = find<Call>("nvmlInit_v2");
    stop = find<Call>("nvmlShutdown");
    device_by_bus_id = find<DeviceByBusId>("nvmlDeviceGetHandleByPciBusId_v2");
    total_energy = find<TotalEnergy>("nvmlDeviceGetTotalEnergyConsumption");
    started = start && stop && device_by_bus_id && total_energy && start() == 0;
  }
  ~Library() {
    if (started) stop();
    if (handle) dlclose(handle);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <typename Function>
  Function find(const char* name) const {
    return reinterpret_cast<Function>(dlsym(handle, name));
  }
};

EnergyMeter::EnergyMeter(std::unique_ptr<Library> library, void* device)
    : library_(std::move(library)), device_(device) {}
EnergyMeter::~EnergyMeter() = default;

std::unique_ptr<EnergyMeter> EnergyMeter::open(const std::string& pci_bus_id, const std::string& library) {
  auto opened = std::make_unique<Library>(library);
  void* device = nullptr;
  if (!opened->started || opened->device_by_bus_id(pci_bus_id.c_str(), &device) != 0) return nullptr;
  std::unique_ptr<EnergyMeter> meter(new EnergyMeter(std::move(opened), device));
  return meter->joules() ? std::move(meter) : nullptr;
}

std::optional<double> EnergyMeter::joules() const {
  unsigned long long millijoules = 0;
  if (library_->total_energy(device_, &millijoules) != 0) return std::nullopt;
  return static_cast<double>(millijoules) * 1e-3;
}

std::string pci_bus_id(int index) {
  std::array<char, 32> id{};
  cuda_check(cudaDeviceGetPCIBusId(id.data(), static_cast<int>(id.size()), index), "cudaDeviceGetPCIBusId");
  return id.data();
}

}  // namespace strata
