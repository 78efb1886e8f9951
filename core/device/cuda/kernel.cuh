// SPDX-License-Identifier: Apache-2.0
// What every kernel file includes: how kernels are written so that they compile with nvcc for a GPU and with
// g++ for the CPU, where the tests run each block's threads as fibers. <kernel_target.cuh> comes from the
// folder that the build put on the include path.
//
// Rules: kernels in .cuh files, launched through launch() alone; shared memory through STRATA_SHARED and (one
// a kernel, carved by hand) STRATA_DYNAMIC_SHARED; blocks of whole warps; masks name lanes that arrive;
// __syncwarp() after shared-memory writes that other lanes of the warp read; nothing waits for another block;
// no thread returns before a barrier of its block. Host code of a .cu file: in a template nvcc 13.0 drops the names of
// an assigned list, `s = {.a = 1, .c = 2}` sets the first two members; declare or return such a value instead.
#pragma once

#include <kernel_target.cuh>

#include <cstdint>
#include <type_traits>

#include "core/base/check.h"
#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/cuda_stream.h"

namespace strata::cuda {

struct Grid {
  dim3 blocks = dim3(1);
  dim3 threads = dim3(32);
  int64_t shared_bytes = 0;  // dynamic
};

// Enqueues a kernel. Arguments are converted to the kernel's parameters on the way.
template <typename... Parameters>
void launch(CudaStream& stream, void (*kernel)(Parameters...), const Grid& grid,
            const std::type_identity_t<Parameters>&... arguments) {
  constexpr int64_t kMostThreads = 1024, kMostShared = 227 << 10;
  const int64_t threads = int64_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  check(threads >= 1 && threads <= kMostThreads && threads % 32 == 0,
        "[launch] a block of {} x {} x {} threads", grid.threads.x, grid.threads.y, grid.threads.z);
  check(grid.blocks.x >= 1 && grid.blocks.x <= 0x7FFFFFFFu && grid.blocks.y >= 1 && grid.blocks.y <= 65535 &&
            grid.blocks.z >= 1 && grid.blocks.z <= 65535,
        "[launch] a grid of {} x {} x {} blocks", grid.blocks.x, grid.blocks.y, grid.blocks.z);
  check(grid.shared_bytes >= 0 && grid.shared_bytes <= kMostShared, "[launch] {} bytes of shared memory",
        grid.shared_bytes);
  use_gpu(stream.device().index);
  cuda_check(target::run(kernel, grid.blocks, grid.threads, static_cast<size_t>(grid.shared_bytes),
                         stream.handle(), static_cast<Parameters>(arguments)...),
             "kernel launch");
}

// N elements that move in one access of up to 16 bytes. Addresses must be multiples of its size.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vector {
  T at[N];
};

template <typename T, int N>
__device__ inline Vector<T, N> load_vector(const T* address) {
  return *reinterpret_cast<const Vector<T, N>*>(address);
}
template <typename T, int N>
__device__ inline void store_vector(T* address, const Vector<T, N>& vector) {
  *reinterpret_cast<Vector<T, N>*>(address) = vector;
}

// Over the 32 lanes of a warp, all of which must arrive; every lane gets the result, the same in every run.
__device__ inline float warp_sum(float value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, offset);
  return value;
}
__device__ inline float warp_max(float value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(0xFFFFFFFFu, value, offset);
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace strata::cuda
