// SPDX-License-Identifier: Apache-2.0
// A management library of four GPUs. The first counts its energy; the second is old: it does not, and knows
// nothing of its connections. The first and the third share two NVLinks, and a third link of theirs is down;
// the third and the fourth have four to switches.
#include <cstring>

extern "C" {

static int uses = 0;
static int gpus[4];
static unsigned long long millijoules = 5000;

int fake_nvml_uses() { return uses; }
void fake_nvml_fall_off_the_bus(int off) { gpus[0] = off; }

int nvmlInit_v2() { return ++uses, 0; }
int nvmlShutdown() { return --uses, 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device) {
  if (uses <= 0) return 1;  // not initialised
  if (std::strcmp(bus_id, "0000:1b:00.0") == 0) return *device = &gpus[0], 0;
  if (std::strcmp(bus_id, "0000:3d:00.0") == 0) return *device = &gpus[1], 0;
  if (std::strcmp(bus_id, "0000:5e:00.0") == 0) return *device = &gpus[2], 0;
  if (std::strcmp(bus_id, "0001:5e:00.0") == 0) return *device = &gpus[3], 0;
  return 6;  // not found
}
int nvmlDeviceGetTotalEnergyConsumption(void* device, unsigned long long* energy) {
  if (uses <= 0) return 1;
  if (device == &gpus[1]) return 3;  // not supported
  if (gpus[0]) return 15;            // lost
  return *energy = millijoules += 1250, 0;
}

int nvmlDeviceGetMaxPcieLinkGeneration(void* device, unsigned* generation) {
  return device == &gpus[1] ? 3 : (*generation = 5, 0);
}
int nvmlDeviceGetMaxPcieLinkWidth(void* device, unsigned* width) {
  return device == &gpus[1] ? 3 : (*width = 16, 0);
}
int nvmlDeviceGetCurrPcieLinkWidth(void* device, unsigned* width) {
  return device == &gpus[1] ? 3 : (*width = device == &gpus[2] ? 8 : 16, 0);
}

// Links 0 to 2 between the first and the third, 2 is down; 3 to 6 of the third and the fourth to switches.
int nvmlDeviceGetNvLinkState(void* device, unsigned link, int* active) {
  if (device == &gpus[1]) return 3;
  if (link > 6) return 2;  // invalid argument
  const bool pair = link < 3 && device != &gpus[3], switched = link >= 3 && device != &gpus[0];
  return *active = (pair && link != 2) || switched, 0;
}
int nvmlDeviceGetNvLinkRemoteDeviceType(void*, unsigned link, int* type) {
  return *type = link < 3 ? 0 : 2, 0;
}
struct PciInfo {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char bus_id[32];
};
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void* device, unsigned link, PciInfo* info) {
  if (link >= 3) return 3;
  *info = {"", 0, device == &gpus[0] ? 0x5eU : 0x1bU, 0, 0, 0, ""};
  return 0;
}
}
