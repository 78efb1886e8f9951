// SPDX-License-Identifier: Apache-2.0
#include "core/device/gpu_topology.h"

#include <array>

namespace strata {

double pcie_bytes_per_s(int generation, int width) {
  // A lane: GT/s, 8b/10b until generation 2, 128b/130b until 5, 242B/256B of a flit in 6.
  constexpr std::array<double, 7> kLane{0,
                                        2.5e9 / 10,
                                        5e9 / 10,
                                        8e9 / 8 * 128 / 130,
                                        16e9 / 8 * 128 / 130,
                                        32e9 / 8 * 128 / 130,
                                        64e9 / 8 * 242 / 256};
  if (generation < 0 || generation >= static_cast<int>(kLane.size())) return 0;
  return kLane[static_cast<size_t>(generation)] * width;
}

double GpuSlot::bytes_per_s() const { return pcie_bytes_per_s(pcie_generation, pcie_width); }

const GpuLink& GpuTopology::link(int a, int b) const {
  return links.at(static_cast<size_t>(a) * slots.size() + static_cast<size_t>(b));
}

}  // namespace strata
