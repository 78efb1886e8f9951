// SPDX-License-Identifier: Apache-2.0
#include "core/device/cuda/energy_meter.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace strata {
namespace {

constexpr const char* kCounts = "0000:1b:00.0";
constexpr const char* kOld = "0000:3d:00.0";

// The fake library, held open so that its state can be asked and set.
class EnergyMeterTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(handle_) << dlerror(); }
  ~EnergyMeterTest() override { dlclose(handle_); }
  int uses() const { return reinterpret_cast<int (*)()>(dlsym(handle_, "fake_nvml_uses"))(); }
  void fall_off_the_bus(int off) const {
    reinterpret_cast<void (*)(int)>(dlsym(handle_, "fake_nvml_fall_off_the_bus"))(off);
  }
  void* handle_ = dlopen(STRATA_FAKE_NVML, RTLD_NOW);
};

TEST_F(EnergyMeterTest, CountsJoules) {
  const auto meter = EnergyMeter::open(kCounts, STRATA_FAKE_NVML);
  ASSERT_TRUE(meter);
  const double first = meter->joules().value();
  EXPECT_DOUBLE_EQ(meter->joules().value() - first, 1.25);
}

TEST_F(EnergyMeterTest, GivesTheLibraryBack) {
  {
    const auto meter = EnergyMeter::open(kCounts, STRATA_FAKE_NVML);
    EXPECT_EQ(uses(), 1);
  }
  EXPECT_EQ(uses(), 0);
  EXPECT_FALSE(EnergyMeter::open(kOld, STRATA_FAKE_NVML));
  EXPECT_EQ(uses(), 0);
}

TEST_F(EnergyMeterTest, WithoutALibraryAGpuOrACounterThereIsNoMeter) {
  EXPECT_FALSE(EnergyMeter::open(kCounts, "libof-no-machine.so.1"));
  EXPECT_FALSE(EnergyMeter::open(kCounts, "libm.so.6"));  // a library, but another
  EXPECT_FALSE(EnergyMeter::open("0000:99:00.0", STRATA_FAKE_NVML));
  EXPECT_FALSE(EnergyMeter::open(kOld, STRATA_FAKE_NVML));
}

TEST_F(EnergyMeterTest, AGpuThatIsLostStopsNothing) {
  const auto meter = EnergyMeter::open(kCounts, STRATA_FAKE_NVML);
  ASSERT_TRUE(meter);
  fall_off_the_bus(1);
  EXPECT_FALSE(meter->joules());
  fall_off_the_bus(0);
  EXPECT_TRUE(meter->joules());
}

TEST(PciBusId, IsThatOfTheGpu) {
  const std::string id = pci_bus_id(0);
  EXPECT_EQ(std::count(id.begin(), id.end(), ':'), 2) << id;
  EXPECT_NE(id.find('.'), std::string::npos) << id;
}

}  // namespace
}  // namespace strata
