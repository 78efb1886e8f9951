// SPDX-License-Identifier: Apache-2.0
// How the GPUs of this process are connected, to the host and to one another: what bounds streamed state and
// collectives. Facts of the driver, nothing is measured. Rates are bytes per second each way, as specified; a
// copy reaches 80 to 90% of them.
#pragma once

#include <string>
#include <vector>

namespace strata {

// To the host. 0: the driver does not tell.
struct GpuSlot {
  std::string bus_id;
  int pcie_generation = 0;  // the highest that GPU and slot both have; the link is slower while it is idle
  int pcie_width = 0;       // lanes in use
  int pcie_most_width = 0;  // that GPU and slot both have
  double bytes_per_s() const;
};

// Between two GPUs.
struct GpuLink {
  bool direct = false;     // each reads and writes the other's memory, without the host
  int nvlinks = 0;         // between them, or through switches; 0: PCIe
  double bytes_per_s = 0;  // of the NVLinks, or of the slower slot
};

struct GpuTopology {
  std::vector<GpuSlot> slots;  // of GPUs as CUDA counts them
  std::vector<GpuLink> links;  // of GPU a to GPU b at a * slots.size() + b
  const GpuLink& link(int a, int b) const;
};

// PCI Express Base Specification: of one generation (1 to 6) and so many lanes. 0 for unknown ones.
double pcie_bytes_per_s(int generation, int width);

// Empty without a GPU, and where this program was built without CUDA. Throws Error(environment) when the
// driver is out of order.
GpuTopology gpu_topology();

}  // namespace strata
