// SPDX-License-Identifier: Apache-2.0
#include "core/device/cuda/gpu_links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/device/devices.h"

namespace strata {
namespace {

using testing::ElementsAre;

const std::vector<std::string> kGpus{"0000:1b:00.0", "0000:3d:00.0", "0000:5e:00.0", "0001:5e:00.0"};

TEST(GpuLinks, SlotsAreAsTheDriverTells) {
  const auto nvml = Nvml::open(STRATA_FAKE_NVML);
  ASSERT_TRUE(nvml);
  const GpuSlot whole = slot_of(nvml.get(), kGpus[0]), half = slot_of(nvml.get(), kGpus[2]);
  EXPECT_EQ(whole.pcie_generation, 5);
  EXPECT_NEAR(whole.bytes_per_s(), 63.0e9, 0.1e9);
  EXPECT_EQ(half.pcie_width, 8);
  EXPECT_EQ(half.pcie_most_width, 16);
  for (const GpuSlot& unknown : {slot_of(nvml.get(), kGpus[1]), slot_of(nullptr, kGpus[0])}) {
    EXPECT_EQ(unknown.pcie_width, 0);
    EXPECT_EQ(unknown.bytes_per_s(), 0);
  }
}

TEST(GpuLinks, CountsActiveOnesByWhereTheyLead) {
  const auto nvml = Nvml::open(STRATA_FAKE_NVML);
  ASSERT_TRUE(nvml);
  const auto of = [&](size_t gpu) { return nvlinks_of(nvml.get(), kGpus[gpu], kGpus); };
  EXPECT_THAT(of(0).to_gpus, ElementsAre(0, 0, 2, 0));
  EXPECT_EQ(of(0).to_switches, 0);
  EXPECT_THAT(of(1).to_gpus, ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(of(2).to_gpus, ElementsAre(2, 0, 0, 0));
  EXPECT_EQ(of(2).to_switches, 4);
  EXPECT_THAT(of(3).to_gpus, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(of(3).to_switches, 4);
  EXPECT_THAT(nvlinks_of(nullptr, kGpus[0], kGpus).to_gpus, ElementsAre(0, 0, 0, 0));
}

// The same numbers from the specification's other side: GB/s of x16 as tables print them.
TEST(GpuLinks, RatesOfPcie) {
  EXPECT_NEAR(pcie_bytes_per_s(1, 16), 4.0e9, 1e7);
  EXPECT_NEAR(pcie_bytes_per_s(3, 16), 15.75e9, 1e7);
  EXPECT_NEAR(pcie_bytes_per_s(4, 16), 31.5e9, 1e7);
  EXPECT_NEAR(pcie_bytes_per_s(6, 16), 121e9, 1e9);
  EXPECT_EQ(pcie_bytes_per_s(9, 16), 0);
}

TEST(GpuLinks, EveryPairHasItsLink) {
  const GpuTopology topology = gpu_topology();
  const int gpus = num_gpus();
  ASSERT_GT(gpus, 0);
  ASSERT_EQ(static_cast<int>(topology.slots.size()), gpus);
  for (int a = 0; a < gpus; ++a) {
    EXPECT_FALSE(topology.slots[static_cast<size_t>(a)].bus_id.empty());
    EXPECT_FALSE(topology.link(a, a).direct);
    for (int b = 0; b < gpus; ++b) EXPECT_EQ(topology.link(a, b).nvlinks, topology.link(b, a).nvlinks);
  }
}

}  // namespace
}  // namespace strata
