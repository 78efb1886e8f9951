// SPDX-License-Identifier: Apache-2.0
// NVIDIA's management library (NVML). It comes with the driver and is opened when the program runs, by its
// documented C interface, so that nothing else needs it: without it, its facts are unknown.
#pragma once

#include <memory>
#include <string>

namespace strata {

class Nvml {
 public:
  static constexpr const char* kLibrary = "libnvidia-ml.so.1";

  // Null: there is none, or it does not start.
  static std::shared_ptr<const Nvml> open(const std::string& library = kLibrary);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // A device is a pointer of the library's. Of a PCI bus id as cudaDeviceGetPCIBusId gives it
  // ("0000:1b:00.0"; the library counts GPUs in another order than CUDA). Null: it does not know that one.
  void* device(const std::string& pci_bus_id) const;

  // Calls a function of the library ("nvmlDeviceGet..."). False: an old library lacks it, or it failed.
  template <typename... Arguments>
  bool ask(const char* function, Arguments... arguments) const {
    const auto call = reinterpret_cast<int (*)(Arguments...)>(find(function));
    return call && call(arguments...) == 0;  // 0: NVML_SUCCESS
  }

 private:
  explicit Nvml(void* handle) : handle_(handle) {}
  void* find(const char* function) const;
  void* handle_;
  bool started_ = false;
};

// Of GPU `index` as CUDA counts them.
std::string pci_bus_id(int index);

}  // namespace strata
