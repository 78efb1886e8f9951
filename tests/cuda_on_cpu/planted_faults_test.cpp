// SPDX-License-Identifier: Apache-2.0
// Kernels that are wrong on purpose: what finds each kind of fault, and that it does. Wrong results under
// some order of threads are seen by every build, races by ThreadSanitizer, steps out of bounds by
// AddressSanitizer, misaligned accesses by UndefinedBehaviorSanitizer, wrong use of barriers and warps by the
// runtime itself. Beside each stands its sound twin.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>

#include "core/base/check.h"
#include "core/device/cuda/cuda_allocator.h"
#include "core/device/cuda/kernel.cuh"
#include "tests/support/cuda_on_cpu/sanitizers.h"
#include "tests/support/cuda_on_cpu/schedule.h"

namespace strata {
namespace {

using cuda::Grid;
using cuda::launch;
using cuda_on_cpu::Schedule;
using cuda_on_cpu::ScheduleScope;

constexpr int kThreads = 128;

class PlantedFaults : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // Device memory of exactly `count` floats.
  BufferRef floats(int64_t count) { return make_cuda_allocator(0)->allocate(count * 4, "floats"); }
  static float* data(const BufferRef& buffer) { return reinterpret_cast<float*>(buffer->data()); }
  std::vector<float> read(const BufferRef& buffer) {
    std::vector<float> values(static_cast<size_t>(buffer->bytes() / 4));
    cuda_check(cudaMemcpy(values.data(), buffer->data(), static_cast<size_t>(buffer->bytes()),
                          cudaMemcpyDeviceToHost),
               "cudaMemcpy");
    return values;
  }
};

const Schedule kOrders[] = {{Schedule::Order::lowest_first}, {Schedule::Order::highest_first},
                            {Schedule::Order::random, 1},    {Schedule::Order::random, 2},
                            {Schedule::Order::random, 3},    {Schedule::Order::random, 4}};

// Whether `run`, which says if its result was right, was right under every order.
bool right_in_all_orders(const std::function<bool()>& run) {
  bool right = true;
  for (const Schedule& order : kOrders) {
    const ScheduleScope scope(order);
    right &= run();
  }
  return right;
}

// A fault between threads: a race where ThreadSanitizer looks, a wrong result elsewhere.
#define EXPECT_RACE(run)                           \
  if (cuda_on_cpu::has_thread_sanitizer())         \
    EXPECT_EXIT(                                   \
        {                                          \
          (run)();                                 \
          std::exit(0);                            \
        },                                         \
        testing::ExitedWithCode(66), "data race"); \
  else                                             \
    EXPECT_FALSE(right_in_all_orders(run))

// ---- barriers
// ----------------------------------------------------------------------------------------------

template <bool kBarrier>
__global__ void rotate_kernel(float* out) {
  STRATA_SHARED(float, values, [kThreads]);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  if constexpr (kBarrier) __syncthreads();
  out[threadIdx.x] = values[(threadIdx.x + 32) % kThreads];
}

TEST_F(PlantedFaults, MissingBarrierBeforeReading) {
  const auto out = floats(kThreads);
  CudaStream stream(0);
  const auto run_with = [&](auto kernel) {
    launch(stream, kernel, {dim3(1), dim3(kThreads)}, data(out));
    stream.synchronize();
    const auto values = read(out);
    bool right = true;
    for (int i = 0; i < kThreads; ++i)
      right &= values[static_cast<size_t>(i)] == static_cast<float>((i + 32) % kThreads);
    return right;
  };
  EXPECT_TRUE(right_in_all_orders([&] { return run_with(rotate_kernel<true>); }));
  const auto faulty = [&] { return run_with(rotate_kernel<false>); };
  EXPECT_RACE(faulty);
}

// Two sums over the block through one buffer.
template <bool kBarrier>
__global__ void two_sums_kernel(float* out) {
  STRATA_SHARED(float, of_warp, [kThreads / 32]);
  for (int round = 1; round <= 2; ++round) {
    const float sum = cuda::warp_sum(static_cast<float>(round));
    if (kBarrier || round == 1) __syncthreads();
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    float total = 0;
    for (int warp = 0; warp < kThreads / 32; ++warp) total += of_warp[warp];
    out[(round - 1) * kThreads + static_cast<int>(threadIdx.x)] = total;
  }
}

TEST_F(PlantedFaults, MissingBarrierBeforeReuse) {
  const auto out = floats(2 * kThreads);
  CudaStream stream(0);
  const auto run_with = [&](auto kernel) {
    launch(stream, kernel, {dim3(1), dim3(kThreads)}, data(out));
    stream.synchronize();
    const auto values = read(out);
    bool right = true;
    for (size_t i = 0; i < values.size(); ++i)
      right &= values[i] == static_cast<float>(i < kThreads ? kThreads : 2 * kThreads);
    return right;
  };
  EXPECT_TRUE(right_in_all_orders([&] { return run_with(two_sums_kernel<true>); }));
  const auto faulty = [&] { return run_with(two_sums_kernel<false>); };
  EXPECT_RACE(faulty);
}

// ---- races in global memory: only ThreadSanitizer sees them, the value being the same
// ------------------------------

// Not the same thread of each: those share a fiber.
__global__ void all_write_kernel(float* out) {
  if (threadIdx.x == blockIdx.x) out[0] = 1;
}
__global__ void two_warps_write_kernel(float* out) {
  if (threadIdx.x % 32 == 0) out[0] = 1;
}

TEST_F(PlantedFaults, RacesBetweenBlocksAndBetweenWarps) {
  if (!cuda_on_cpu::has_thread_sanitizer()) GTEST_SKIP() << "ThreadSanitizer sees these";
  const auto out = floats(1);
  CudaStream stream(0);
  launch(stream, all_write_kernel, {dim3(1), dim3(32)}, data(out));  // one writer: sound
  const auto blocks = [&] {
    launch(stream, all_write_kernel, {dim3(2), dim3(32)}, data(out));
    return true;
  };
  const auto warps = [&] {
    launch(stream, two_warps_write_kernel, {dim3(1), dim3(64)}, data(out));
    return true;
  };
  EXPECT_RACE(blocks);
  EXPECT_RACE(warps);
}

// ---- bounds and alignment
// ------------------------------------------------------------------------------------

__global__ void global_store_kernel(float* out, int64_t at) {
  if (threadIdx.x == 0) out[at] = 1;
}
__global__ void shared_store_kernel(int at) {
  STRATA_DYNAMIC_SHARED(float, values);
  if (threadIdx.x == 0) values[at] = 1;
}
__global__ void static_store_kernel(int at) {
  STRATA_SHARED(float, values, [32]);
  float* const first = &values[0];
  if (threadIdx.x == 0) first[at] = 1;
}

TEST_F(PlantedFaults, StoresOutOfBounds) {
  if (!cuda_on_cpu::has_address_sanitizer()) GTEST_SKIP() << "AddressSanitizer sees these";
  const auto out = floats(33);
  CudaStream stream(0);
  const auto global = [&](int64_t at) {
    launch(stream, global_store_kernel, {dim3(1), dim3(32)}, data(out), at);
  };
  const auto dynamic = [&](int at) { launch(stream, shared_store_kernel, {dim3(1), dim3(32), 33 * 4}, at); };
  const auto in_static = [&](int at) { launch(stream, static_store_kernel, {dim3(1), dim3(32)}, at); };
  global(32);
  dynamic(32);
  in_static(31);
  EXPECT_DEATH(global(33), "AddressSanitizer");
  EXPECT_DEATH(dynamic(33), "AddressSanitizer");
  EXPECT_DEATH(in_static(32), "AddressSanitizer");
}

__global__ void load_four_kernel(const float* from, float* out) {
  if (threadIdx.x == 0) cuda::store_vector(out, cuda::load_vector<float, 4>(from));
}

TEST_F(PlantedFaults, MisalignedVectors) {
  if (!cuda_on_cpu::has_address_sanitizer())
    GTEST_SKIP() << "UndefinedBehaviorSanitizer, which goes with AddressSanitizer, sees this";
  const auto from = floats(8), out = floats(4);
  CudaStream stream(0);
  const auto load = [&](int at) {
    launch(stream, load_four_kernel, {dim3(1), dim3(32)}, data(from) + at, data(out));
  };
  load(4);
  EXPECT_DEATH(load(1), "misaligned");
}

// ---- wrong use of barriers and warps: the runtime's own errors
// -----------------------------------------------------

__global__ void half_a_barrier_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void foreign_mask_kernel() {
  if (threadIdx.x < 16) __shfl_xor_sync(0xFFFF0000u, 1.0f, 1);
}
__global__ void exited_lane_kernel() {
  if (threadIdx.x == 5) return;
  __shfl_xor_sync(0xFFFFFFFFu, 1.0f, 1);
}
__global__ void lone_syncwarp_kernel() {
  if (threadIdx.x == 0) __syncwarp();
}

// In a process of its own: what fibers hold that are given up in the middle of a kernel is lost.
#define EXPECT_REFUSED(kernel, grid)     \
  EXPECT_EXIT(                           \
      {                                  \
        try {                            \
          launch(stream, kernel, grid);  \
        } catch (const ContractError&) { \
          std::_Exit(3);                 \
        }                                \
        std::_Exit(0);                   \
      },                                 \
      testing::ExitedWithCode(3), "")

TEST_F(PlantedFaults, WrongUseOfBarriersAndWarps) {
  if (cuda_on_cpu::has_thread_sanitizer()) GTEST_SKIP() << "every other build sees these";
  CudaStream stream(0);
  const Grid two_warps{dim3(1), dim3(64)}, one_warp{};
  EXPECT_REFUSED(half_a_barrier_kernel, two_warps);
  EXPECT_REFUSED(foreign_mask_kernel, one_warp);
  EXPECT_REFUSED(exited_lane_kernel, one_warp);
  EXPECT_REFUSED(lone_syncwarp_kernel, one_warp);
}

// The host and device memory: touching it is stopped.
TEST_F(PlantedFaults, TheHostTouchesDeviceMemory) {
  const auto memory = floats(4);
  EXPECT_DEATH(*data(memory) = 1, "");
}

}  // namespace
}  // namespace strata
