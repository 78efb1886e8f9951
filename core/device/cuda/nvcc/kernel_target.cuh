// SPDX-License-Identifier: Apache-2.0
// Kernels for a GPU: what core/device/cuda/kernel.cuh needs of the compiler, with nvcc. (With g++, running
// kernels on the CPU: tests/support/cuda_on_cpu/kernel_target.cuh.)
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

#define STRATA_SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define STRATA_DYNAMIC_SHARED(type, name)                                       \
  extern __shared__ __align__(16) unsigned char strata_dynamic_shared_memory[]; \
  type* const name = reinterpret_cast<type*>(strata_dynamic_shared_memory)

namespace strata::cuda::target {

template <typename... Parameters>
cudaError_t run(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared_bytes,
                cudaStream_t stream, Parameters... arguments) {
  constexpr size_t kWithoutAsking = 48 << 10;
  if (shared_bytes > kWithoutAsking) {
    const cudaError_t code =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (code != cudaSuccess) return code;
  }
  kernel<<<blocks, threads, shared_bytes, stream>>>(std::forward<Parameters>(arguments)...);
  return cudaGetLastError();
}

}  // namespace strata::cuda::target
