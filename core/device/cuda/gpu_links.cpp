// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>

#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/gpu_links.h"
#include "core/device/devices.h"

namespace strata {
namespace {

// nvmlPciInfo_t of the NVML API reference.
struct PciInfo {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};
static_assert(sizeof(PciInfo) == 68);

enum class RemoteDevice : int { gpu = 0, ibm_npu = 1, nvswitch = 2 };  // nvmlIntNvLinkDeviceType_t

// An NVLink each way (NVIDIA's white papers: A100 12 x 25, A40 4 x 14, H100 18 x 25, B200 18 x 50 GB/s).
double nvlink_bytes_per_s(int major, int minor) {
  if (major == 8 && minor != 0) return 14.0625e9;
  return major >= 10 ? 50e9 : 25e9;
}

// "00000000:1B:00.0" and "0000:1b:00.0" name one device.
bool same_device(const PciInfo& info, const std::string& bus_id) {
  unsigned domain = 0, bus = 0, device = 0;
  return std::sscanf(bus_id.c_str(), "%x:%x:%x", &domain, &bus, &device) == 3 && domain == info.domain &&
         bus == info.bus && device == info.device;
}

}  // namespace

GpuSlot slot_of(const Nvml* nvml, const std::string& bus_id) {
  GpuSlot slot{.bus_id = bus_id};
  void* const device = nvml ? nvml->device(bus_id) : nullptr;
  if (!device) return slot;
  unsigned generation = 0, width = 0, most = 0;
  if (nvml->ask("nvmlDeviceGetMaxPcieLinkGeneration", device, &generation))
    slot.pcie_generation = static_cast<int>(generation);
  if (nvml->ask("nvmlDeviceGetMaxPcieLinkWidth", device, &most))
    slot.pcie_most_width = static_cast<int>(most);
  slot.pcie_width = nvml->ask("nvmlDeviceGetCurrPcieLinkWidth", device, &width) ? static_cast<int>(width)
                                                                                : slot.pcie_most_width;
  return slot;
}

NvLinks nvlinks_of(const Nvml* nvml, const std::string& bus_id, std::span<const std::string> others) {
  NvLinks links{.to_gpus = std::vector<int>(others.size(), 0)};
  void* const device = nvml ? nvml->device(bus_id) : nullptr;
  if (!device) return links;
  constexpr unsigned kMostLinks = 36;  // of a GPU of any generation so far: 18, and what comes next
  for (unsigned link = 0; link < kMostLinks; ++link) {
    int active = 0;                                                            // an enumeration
    if (!nvml->ask("nvmlDeviceGetNvLinkState", device, link, &active)) break;  // no such link
    if (!active) continue;
    int type = -1;
    if (nvml->ask("nvmlDeviceGetNvLinkRemoteDeviceType", device, link, &type) &&
        type == static_cast<int>(RemoteDevice::nvswitch)) {
      ++links.to_switches;
      continue;
    }
    PciInfo remote{};
    if (!nvml->ask("nvmlDeviceGetNvLinkRemotePciInfo_v2", device, link, &remote)) continue;
    for (size_t i = 0; i < others.size(); ++i) links.to_gpus[i] += same_device(remote, others[i]);
  }
  return links;
}

GpuTopology gpu_topology() {
  GpuTopology topology;
  const int gpus = num_gpus();
  const std::shared_ptr<const Nvml> nvml = gpus > 0 ? Nvml::open() : nullptr;
  std::vector<std::string> bus_ids;
  for (int gpu = 0; gpu < gpus; ++gpu) bus_ids.push_back(pci_bus_id(gpu));
  std::vector<NvLinks> nvlinks;
  for (const std::string& bus_id : bus_ids) {
    topology.slots.push_back(slot_of(nvml.get(), bus_id));
    nvlinks.push_back(nvlinks_of(nvml.get(), bus_id, bus_ids));
  }
  for (int a = 0; a < gpus; ++a) {
    cudaDeviceProp properties{};
    cuda_check(cudaGetDeviceProperties(&properties, a), "cudaGetDeviceProperties");
    for (int b = 0; b < gpus; ++b) {
      GpuLink& link = topology.links.emplace_back();
      if (a == b) continue;
      const auto at = [](int index) { return static_cast<size_t>(index); };
      int access = 0;
      cuda_check(cudaDeviceCanAccessPeer(&access, a, b), "cudaDeviceCanAccessPeer");
      link.direct = access != 0;
      link.nvlinks =
          nvlinks[at(a)].to_gpus[at(b)] + std::min(nvlinks[at(a)].to_switches, nvlinks[at(b)].to_switches);
      link.bytes_per_s =
          link.nvlinks > 0
              ? link.nvlinks * nvlink_bytes_per_s(properties.major, properties.minor)
              : std::min(topology.slots[at(a)].bytes_per_s(), topology.slots[at(b)].bytes_per_s());
    }
  }
  return topology;
}

}  // namespace strata
