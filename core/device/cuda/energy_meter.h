// SPDX-License-Identifier: Apache-2.0
// The energy a GPU has used, from NVIDIA's management library (NVML). The library comes with the driver and
// is opened when the program runs, by its documented C interface, so that nothing else needs it: without it,
// or where a GPU does not count its energy (before Volta), there is no meter.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace strata {

class EnergyMeter {
 public:
  // Of the GPU at a PCI bus id as cudaDeviceGetPCIBusId gives it ("0000:1b:00.0"; the library counts GPUs in
  // another order than CUDA). Null: there is no meter.
  static std::unique_ptr<EnergyMeter> open(const std::string& pci_bus_id,
                                           const std::string& library = "libnvidia-ml.so.1");
  ~EnergyMeter();
  EnergyMeter(const EnergyMeter&) = delete;
  EnergyMeter& operator=(const EnergyMeter&) = delete;

  // Since the driver was loaded; only differences mean anything. Steps of about 0.1 s. Any thread. Empty when
  // the GPU does not answer any more.
  std::optional<double> joules() const;

 private:
  struct Library;
  EnergyMeter(std::unique_ptr<Library> library, void* device);
  std::unique_ptr<Library> library_;
  void* device_;
};

// Of GPU `index` as CUDA counts them.
std::string pci_bus_id(int index);

}  // namespace strata
