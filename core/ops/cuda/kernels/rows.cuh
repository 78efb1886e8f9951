// SPDX-License-Identifier: Apache-2.0
// Operands as CUDA kernels see them, how a host function chooses a kernel for them, and teams: the threads
// that share one row. Not: arithmetic of any operation.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/check.h"
#include "core/device/cuda/kernel.cuh"
#include "core/tensor/bf16.h"
#include "core/tensor/tensor.h"

namespace strata::cuda {

// A matrix with unit stride in dim 1, or a vector. Null when the operand is absent.
template <typename T>
struct Rows {
  T* data = nullptr;
  int64_t stride = 0;  // elements from one row to the next

  __device__ T* row(int64_t i) const { return data + i * stride; }
  explicit __device__ operator bool() const { return data != nullptr; }
};

template <typename T>
Rows<T> rows_of(const Tensor& x) {
  if (!x) return {};
  return {x.data<T>(), x.rank() == 2 ? x.stride(0) : 0};
}

template <typename T>
T* pointer_of(const Tensor& x) {
  return x ? x.data<T>() : nullptr;
}

// Round to nearest, ties to even, by the conversion instruction.
template <typename T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline bf16 from_float<bf16>(float x) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
}

__device__ inline uint32_t magnitude_bits(float x) { return __float_as_uint(x) & 0x7FFFFFFFu; }
__device__ inline uint32_t warp_most_of(uint32_t value) { return __reduce_max_sync(0xFFFFFFFFu, value); }

// The largest magnitude of what a thread writes, if anybody wants it: `to` null is that nobody does, and is
// the same for all threads. A maximum is the same in any order, so it is taken with atomics.
class Amax {
 public:
  __device__ explicit Amax(uint32_t* to) : to_(to) {}
  __device__ void take(float x) { own_ = magnitude_bits(x) > own_ ? magnitude_bits(x) : own_; }
  // By all threads of a warp.
  __device__ void put() const {
    if (to_ == nullptr) return;
    const uint32_t most = warp_most_of(own_);
    if ((threadIdx.x + blockDim.x * threadIdx.y) % 32 == 0) atomicMax(to_, most);
  }

 private:
  uint32_t* to_;
  uint32_t own_ = 0;
};
// Where it raises a tensor f32 [1] that may be absent.
inline uint32_t* amax_of(const Tensor& x) {
  return x ? reinterpret_cast<uint32_t*>(x.data<float>()) : nullptr;
}

// Elements of T that one thread reads at a time: 16 bytes.
template <typename T>
inline constexpr int kVectorWidth = 16 / static_cast<int>(sizeof(T));

// Whether every row begins on a 16-byte boundary (an absent operand does).
inline bool is_aligned(const Tensor& x) {
  constexpr int64_t kBytes = 16;
  return !x || (std::bit_cast<uintptr_t>(x.raw()) % kBytes == 0 &&
                (x.rank() < 2 || x.dim(0) <= 1 || x.stride(0) * size_of(x.dtype()) % kBytes == 0));
}

template <typename T>
struct Type {};

// body(Type<T>{}) for the float type of an operand.
template <typename Body>
void with_type(DType dtype, const Body& body) {
  if (dtype == DType::bf16)
    body(Type<bf16>{});
  else
    body(Type<float>{});
}

// ---- teams
// -------------------------------------------------------------------------------------------------- A block
// is (team, teams): the `team` threads of one threadIdx.y, a power of two from 1 to 1024, share a row. All
// its threads must call these functions, whether or not their row exists.

// Threads for a row of `vectors`, of which a thread holds `held`: small rows get a thread a vector.
inline int team_size(int64_t vectors, int held, int most) {
  const auto power = [](int64_t x) { return std::bit_ceil(static_cast<uint64_t>(x < 1 ? 1 : x)); };
  const uint64_t wanted =
      vectors <= 32 ? power(vectors) : std::max<uint64_t>(32, power(div_up(vectors, held)));
  return static_cast<int>(std::min<uint64_t>(wanted, static_cast<uint64_t>(most)));
}

inline dim3 team_block(int team, int threads) {
  return dim3(static_cast<unsigned>(team), static_cast<unsigned>(std::max(1, threads / team)));
}

// Sums over the team, the same in all its threads and in every run: lanes by butterfly, then warps in order.
// Consecutive calls use the two halves of `slots` in turn, so that one barrier a call is enough.
class TeamSum {
 public:
  __device__ explicit TeamSum(float (*slots)[32]) : slots_(slots) {}

  __device__ float operator()(float value) {
    const unsigned team = blockDim.x;
    for (unsigned offset = (team < 32 ? team : 32) / 2; offset > 0; offset /= 2)
      value += __shfl_xor_sync(0xFFFFFFFFu, value, static_cast<int>(offset));
    if (team <= 32) return value;
    float* const slots = slots_[turn_];
    turn_ ^= 1;
    const unsigned thread = threadIdx.x + team * threadIdx.y;
    if (thread % 32 == 0) slots[thread / 32] = value;
    __syncthreads();
    const unsigned warps = team / 32;
    float total = 0;
    for (unsigned warp = 0; warp < warps; ++warp) total += slots[threadIdx.y * warps + warp];
    return total;
  }

 private:
  float (*slots_)[32];
  int turn_ = 0;
};

// body(slot, i) for the thread's vectors i of a row of `count`. A row that fits (kHeld vectors a thread)
// gives slots known when compiled, so that arrays indexed by them are registers; kHeld 0 goes through any
// row.
template <int kHeld, typename Body>
__device__ void for_vectors(int64_t count, const Body& body) {
  if constexpr (kHeld > 0) {
#pragma unroll
    for (int slot = 0; slot < kHeld; ++slot) {
      const int64_t i = threadIdx.x + int64_t{blockDim.x} * slot;
      if (i < count) body(slot, i);
    }
  } else {
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) body(0, i);
  }
}

}  // namespace strata::cuda
