// SPDX-License-Identifier: Apache-2.0
// A management library of two GPUs: one that counts its energy, and an old one that does not.
#include <cstring>

extern "C" {

static int uses = 0;
static int gpus[2];
static unsigned long long millijoules = 5000;

int fake_nvml_uses() { return uses; }
void fake_nvml_fall_off_the_bus(int off) { gpus[0] = off; }

int nvmlInit_v2() { return ++uses, 0; }
int nvmlShutdown() { return --uses, 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device) {
  if (uses <= 0) return 1;  // not initialised
  if (std::strcmp(bus_id, "0000:1b:00.0") == 0) return *device = &gpus[0], 0;
  if (std::strcmp(bus_id, "0000:3d:00.0") == 0) return *device = &gpus[1], 0;
  return 6;  // not found
}
int nvmlDeviceGetTotalEnergyConsumption(void* device, unsigned long long* energy) {
  if (uses <= 0) return 1;
  if (device == &gpus[1]) return 3;  // not supported
  if (gpus[0]) return 15;            // lost
  return *energy = millijoules += 1250, 0;
}
}
