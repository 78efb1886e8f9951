// SPDX-License-Identifier: Apache-2.0
// GPUs through the driver's own C interface (CUDA Driver API), opened at run time: a program built without
// CUDA can still say that a machine has GPUs it does not use.
#include <dlfcn.h>

#include <array>
#include <memory>

#include "core/base/error.h"
#include "core/device/devices.h"
#include "launch/doctor/facts.h"

namespace strata::doctor {
namespace {

struct CloseLibrary {
  void operator()(void* library) const { dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

template <typename Function>
Function* symbol(const Library& library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library.get(), name));
}

}  // namespace

GpuFacts look_at_gpus() {
  GpuFacts facts{.built_in = has_cuda(), .needed_cuda_version = cuda_version()};
  const Library driver(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL));
  if (!driver) {
    facts.driver_error = "libcuda.so.1 is not installed";
    return facts;
  }
  using Init = int(unsigned);
  using Count = int(int*);
  using Name = int(char*, int, int);
  using Bytes = int(size_t*, int);
  using Attribute = int(int*, int, int);
  Init* const init = symbol<Init>(driver, "cuInit");
  Count* const version = symbol<Count>(driver, "cuDriverGetVersion");
  Count* const count = symbol<Count>(driver, "cuDeviceGetCount");
  Name* const device_name = symbol<Name>(driver, "cuDeviceGetName");
  Bytes* const total = symbol<Bytes>(driver, "cuDeviceTotalMem_v2");
  Attribute* const attribute = symbol<Attribute>(driver, "cuDeviceGetAttribute");
  if (!init || !version || !count || !device_name || !total || !attribute) {
    facts.driver_error = "libcuda.so.1 lacks functions of the driver interface";
    return facts;
  }
  if (const int code = init(0); code != 0) {
    constexpr int kNoDevice = 100, kStub = 34;
    facts.driver_error = code == kNoDevice ? "the driver finds no GPU"
                         : code == kStub   ? "libcuda.so.1 is the toolkit's stub, not a driver"
                                           : "cuInit answers " + std::to_string(code);
    return facts;
  }
  version(&facts.driver_cuda_version);
  int devices = 0;
  count(&devices);
  for (int device = 0; device < devices; ++device) {
    constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
    std::array<char, 256> text{};
    size_t bytes = 0;
    GpuFacts::Gpu gpu;
    device_name(text.data(), static_cast<int>(text.size()) - 1, device);
    total(&bytes, device);
    attribute(&gpu.major, kMajor, device);
    attribute(&gpu.minor, kMinor, device);
    gpu.name = text.data();
    gpu.bytes = static_cast<int64_t>(bytes);
    facts.gpus.push_back(gpu);
  }
  try {
    facts.topology = gpu_topology();
  } catch (const Error& error) {
    facts.driver_error = error.what();
  }
  return facts;
}

}  // namespace strata::doctor
