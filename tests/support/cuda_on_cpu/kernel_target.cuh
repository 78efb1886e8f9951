// SPDX-License-Identifier: Apache-2.0
// Kernels on the CPU: what core/device/cuda/kernel.cuh needs of the compiler, with g++. The CUDA functions that kernels
// use, as calls of the fiber runtime (grid.h) or plain arithmetic; a kernel that needs another adds it here. (With nvcc:
// core/device/cuda/nvcc/kernel_target.cuh.)
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>
#include <vector_types.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <source_location>

#include "tests/support/cuda_on_cpu/call_faults.h"
#include "tests/support/cuda_on_cpu/device_memory.h"
#include "tests/support/cuda_on_cpu/grid.h"
#include "tests/support/cuda_on_cpu/streams.h"

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (::strata::cuda_on_cpu::here.thread)
#define blockIdx (::strata::cuda_on_cpu::here.block)
#define blockDim (::strata::cuda_on_cpu::here.block_size)
#define gridDim (::strata::cuda_on_cpu::here.grid_size)

#define STRATA_SHARED(type, name, ...)                                                             \
  using name##_type = type __VA_ARGS__;                                                            \
  static const char name##_site = 0;                                                               \
  name##_type& name = *static_cast<name##_type*>(                                                  \
      ::strata::cuda_on_cpu::static_shared(&name##_site, sizeof(name##_type), alignof(name##_type)))
#define STRATA_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(::strata::cuda_on_cpu::dynamic_shared())

// ---- threads that meet ----------------------------------------------------------------------------------------

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  strata::cuda_on_cpu::block_barrier(where);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, std::source_location where = std::source_location::current()) {
  strata::cuda_on_cpu::warp_meeting(strata::cuda_on_cpu::WarpOp::sync, mask, 0, 0, where);
}

namespace strata::cuda_on_cpu {

inline unsigned lane_of_thread() {
  return (here.thread.x + here.block_size.x * (here.thread.y + here.block_size.y * here.thread.z)) % 32;
}

template <typename T>
T shuffle(unsigned mask, T value, unsigned from, std::source_location where) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_meeting(WarpOp::shuffle, mask, bits, from, where);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace strata::cuda_on_cpu

template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32,
              std::source_location where = std::source_location::current()) {
  const unsigned lane = strata::cuda_on_cpu::lane_of_thread(), w = static_cast<unsigned>(width);
  return strata::cuda_on_cpu::shuffle(mask, value, lane / w * w + static_cast<unsigned>(from) % w, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  std::source_location where = std::source_location::current()) {
  const unsigned lane = strata::cuda_on_cpu::lane_of_thread(), w = static_cast<unsigned>(width);
  const unsigned from = lane ^ static_cast<unsigned>(lanes);
  return strata::cuda_on_cpu::shuffle(mask, value, from / w > lane / w ? lane : from, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32,
                   std::source_location where = std::source_location::current()) {
  const unsigned lane = strata::cuda_on_cpu::lane_of_thread(), w = static_cast<unsigned>(width);
  return strata::cuda_on_cpu::shuffle(mask, value, lane % w + lanes < w ? lane + lanes : lane, where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32,
                 std::source_location where = std::source_location::current()) {
  const unsigned lane = strata::cuda_on_cpu::lane_of_thread(), w = static_cast<unsigned>(width);
  return strata::cuda_on_cpu::shuffle(mask, value, lane % w >= lanes ? lane - lanes : lane, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location where = std::source_location::current()) {
  return static_cast<unsigned>(strata::cuda_on_cpu::warp_meeting(strata::cuda_on_cpu::WarpOp::ballot, mask,
                                                                 predicate != 0 ? 1 : 0, 0, where));
}
inline int __any_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
  return __ballot_sync(mask, predicate, where) == mask;
}

inline unsigned __reduce_max_sync(unsigned mask, unsigned value,
                                  std::source_location where = std::source_location::current()) {
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const unsigned other = __shfl_xor_sync(mask, value, lanes, 32, where);
    value = other > value ? other : value;
  }
  return value;
}

// ---- atomics: relaxed, as on the GPU ---------------------------------------------------------------------------

template <typename T>
T atomicAdd(T* at, T value) {
  return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicOr(T* at, T value) {
  return __atomic_fetch_or(at, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicExch(T* at, T value) {
  return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicCAS(T* at, T expected, T wanted) {
  __atomic_compare_exchange_n(at, &expected, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <typename T>
T atomicMax(T* at, T value) {
  T now = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (now < value && !__atomic_compare_exchange_n(at, &now, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return now;
}
template <typename T>
T atomicMin(T* at, T value) {
  T now = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (value < now && !__atomic_compare_exchange_n(at, &now, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return now;
}
inline void __threadfence() { strata::cuda_on_cpu::memory_fence(); }
inline void __threadfence_system() { strata::cuda_on_cpu::memory_fence(); }
inline void __nanosleep(unsigned) { strata::cuda_on_cpu::yield_to_others(); }

// ---- arithmetic ------------------------------------------------------------------------------------------------

inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
// Approximations of the GPU, exact here.
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
// Rounded once, never contracted.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
template <typename T>
T __ldg(const T* address) {
  return *address;
}

namespace strata::cuda::target {

template <typename... Parameters>
cudaError_t run(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared_bytes, cudaStream_t stream,
                Parameters... arguments) {
  if (const int code = cuda_on_cpu::call_fault("cudaLaunchKernel")) return static_cast<cudaError_t>(code);
  cuda_on_cpu::enqueue(stream, [=] {
    const cuda_on_cpu::DeviceMemoryAccess open;
    cuda_on_cpu::run_grid(blocks, threads, shared_bytes, [&] { kernel(arguments...); });
  });
  return cudaSuccess;
}

}  // namespace strata::cuda::target
