// SPDX-License-Identifier: Apache-2.0
#include "core/device/cuda/cuda_error.h"

#include <exception>
#include <string>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/log.h"

namespace strata {
namespace {

std::string words(cudaError_t code) {
  return fmt::format("{} ({})", cudaGetErrorString(code), cudaGetErrorName(code));
}

std::string version(int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); }

}  // namespace

void cuda_check(cudaError_t code, const char* call) {
  switch (code) {
    case cudaSuccess:
      return;
    case cudaErrorNoDevice:
      throw Error(Fault::environment,
                  {.what = "this machine has no GPU that CUDA can use",
                   .where = call,
                   .found = words(code),
                   .expected = "an NVIDIA GPU, visible to this process",
                   .fix = "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use run.device = \"cpu\""});
    case cudaErrorInsufficientDriver:
    case cudaErrorStubLibrary:
    case cudaErrorSystemDriverMismatch: {
      int driver = 0, runtime = 0;
      cudaDriverGetVersion(&driver);
      cudaRuntimeGetVersion(&runtime);
      throw Error(Fault::environment,
                  {.what = driver == 0 ? "no NVIDIA driver is loaded" : "the NVIDIA driver is too old",
                   .where = call,
                   .found = driver == 0 ? words(code) : fmt::format("a driver for CUDA {}", version(driver)),
                   .expected = fmt::format("a driver for CUDA {} or newer", version(runtime)),
                   .fix = "install a newer NVIDIA driver, or use run.device = \"cpu\""});
    }
    case cudaErrorMemoryAllocation:
      throw Error(Fault::memory,
                  {.what = "out of GPU memory",
                   .where = call,
                   .found = words(code),
                   .fix = "lower batch.micro_batch or data.seq_len, or set parallel.recompute = \"full\""});
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidResourceHandle:
    case cudaErrorInvalidDevicePointer:
      fail_contract(fmt::format("[cuda] {}: {}", call, words(code)));
    default:
      throw Error(
          Fault::environment,
          {.what = "a GPU operation failed",
           .where = call,
           .found = words(code) + "; it may belong to work enqueued before",
           .expected = "success",
           .fix = "run the command again with CUDA_LAUNCH_BLOCKING=1 to see which operation, and look for "
                  "errors of the GPU in dmesg (Xid)"});
  }
}

void cuda_log(cudaError_t code, const char* call) noexcept {
  // On the way out of a failure what is given back fails too: the GPU has been lost, which is told already.
  if (code != cudaSuccess && std::uncaught_exceptions() == 0) log::warn("{}: {}", call, words(code));
}

}  // namespace strata
