// SPDX-License-Identifier: Apache-2.0
#include "core/device/cuda/energy_meter.h"

namespace strata {

std::unique_ptr<EnergyMeter> EnergyMeter::open(const std::string& pci_bus_id, const std::string& library) {
  auto nvml = Nvml::open(library);
  void* const device = nvml ? nvml->device(pci_bus_id) : nullptr;
  if (!device) return nullptr;
  std::unique_ptr<EnergyMeter> meter(new EnergyMeter(std::move(nvml), device));
  return meter->joules() ? std::move(meter) : nullptr;
}

std::optional<double> EnergyMeter::joules() const {
  unsigned long long millijoules = 0;
  if (!nvml_->ask("nvmlDeviceGetTotalEnergyConsumption", device_, &millijoules)) return std::nullopt;
  return static_cast<double>(millijoules) * 1e-3;
}

}  // namespace strata
