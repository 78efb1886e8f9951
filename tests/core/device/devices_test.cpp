// SPDX-License-Identifier: Apache-2.0
#include "core/device/devices.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

TEST(Devices, TheCpuHasOneMemoryAndTwoKindsOfStreams) {
  WorkerPool pool(1);
  const auto cpu = open_cpu(pool);
  EXPECT_EQ(cpu->device(), (Device{DeviceKind::cpu, 0}));
  EXPECT_EQ(cpu->memory(), cpu->host_memory());
  EXPECT_GT(cpu->memory_bytes(), 0);
  // Communication goes on beside the step's own work.
  const auto compute = cpu->make_stream(OpenDevice::Use::compute);
  const auto communication = cpu->make_stream(OpenDevice::Use::communication);
  EXPECT_TRUE(cpu_stream(*compute).runs_inline());
  EXPECT_FALSE(cpu_stream(*communication).runs_inline());
}

TEST(Devices, AGpuThatIsNotThereIsRefusedWithTheFix) {
  if (!has_cuda()) {
    EXPECT_EQ(num_gpus(), 0);
    EXPECT_EQ(cuda_version(), 0);
  }
  try {
    open_gpu(num_gpus());
    ADD_FAILURE() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::environment);
    EXPECT_FALSE(error.report().fix.empty());
  }
}

}  // namespace
}  // namespace strata
