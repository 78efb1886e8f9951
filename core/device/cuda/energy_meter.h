// SPDX-License-Identifier: Apache-2.0
// The energy a GPU has used, from NVML. Without the library, or where a GPU does not count its energy (before
// Volta), there is no meter.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/device/cuda/nvml.h"

namespace strata {

class EnergyMeter {
 public:
  // Of the GPU at a PCI bus id. Null: there is no meter.
  static std::unique_ptr<EnergyMeter> open(const std::string& pci_bus_id,
                                           const std::string& library = Nvml::kLibrary);

  // Since the driver was loaded; only differences mean anything. Steps of about 0.1 s. Any thread. Empty when
  // the GPU does not answer any more.
  std::optional<double> joules() const;

 private:
  EnergyMeter(std::shared_ptr<const Nvml> nvml, void* device) : nvml_(std::move(nvml)), device_(device) {}
  std::shared_ptr<const Nvml> nvml_;
  void* device_;
};

}  // namespace strata
