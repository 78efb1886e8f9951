// SPDX-License-Identifier: Apache-2.0
// A management library for the first pretended GPU, one function of which fails: STRATA_NVML_FAULT names it.
#include <cstdlib>
#include <cstring>

namespace {

int fault(const char* function) {
  const char* const planned = std::getenv("STRATA_NVML_FAULT");
  return planned && std::strcmp(planned, function) == 0 ? 15 : 0;  // lost
}

int gpu = 0;
unsigned long long millijoules = 5000;

}  // namespace

extern "C" {

int nvmlInit_v2() { return fault("nvmlInit_v2"); }
int nvmlShutdown() { return fault("nvmlShutdown"); }
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device) {
  if (const int code = fault("nvmlDeviceGetHandleByPciBusId_v2")) return code;
  *device = &gpu;
  return std::strcmp(bus_id, "0000:01:00.0") == 0 ? 0 : 6;  // not found
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* energy) {
  *energy = millijoules += 1250;
  // The first answer is good: the GPU is lost while it is at work.
  return millijoules > 8000 ? fault("nvmlDeviceGetTotalEnergyConsumption") : 0;
}

}  // extern "C"
