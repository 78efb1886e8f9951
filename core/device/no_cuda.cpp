// SPDX-License-Identifier: Apache-2.0
// Where Strata was built without CUDA.
#include "core/base/error.h"
#include "core/device/devices.h"
#include "core/device/gpu_topology.h"
#include "core/device/profiler_range.h"

namespace strata {

bool has_cuda() { return false; }
int cuda_version() { return 0; }
int num_gpus() { return 0; }
GpuTopology gpu_topology() { return {}; }

std::unique_ptr<OpenDevice> open_gpu(int) {
  throw Error(
      Fault::environment,
      {.what = "this program was built without CUDA",
       .where = "run.device",
       .found = "cuda",
       .expected = "a build with the CUDA device",
       .fix = "build it: cmake --preset cuda && cmake --build build/cuda; or use run.device = \"cpu\""});
}

ProfilerRange::ProfilerRange(const char*) {}
ProfilerRange::~ProfilerRange() = default;

}  // namespace strata
