// SPDX-License-Identifier: Apache-2.0
// Streams, events, memory and errors of the CUDA device.
#include <gmock/gmock.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/device/cuda/cuda_allocator.h"
#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/cuda_stream.h"
#include "core/device/devices.h"

namespace strata {
namespace {

using testing::HasSubstr;

TEST(CudaDevice, IsWhatItSays) {
  const auto gpu = open_gpu(0);
  EXPECT_EQ(gpu->device(), (Device{DeviceKind::cuda, 0}));
  EXPECT_FALSE(gpu->name().empty());
  EXPECT_GT(gpu->memory_bytes(), 0);
  EXPECT_EQ(gpu->make_stream(OpenDevice::Use::communication)->device(), gpu->device());
  EXPECT_THROW(cuda_stream(*std::make_unique<CpuStream>(*std::make_unique<WorkerPool>(1))), ContractError);
}

TEST(CudaDevice, EventsOrderStreamsAndTellTime) {
  CudaStream first(0), second(0, true);
  const Event begin = first.record();
  second.wait(begin);
  const Event end = second.record();
  second.synchronize();
  EXPECT_TRUE(begin.done());
  EXPECT_TRUE(end.done());
  EXPECT_GE(first.seconds_between(begin, end).value(), 0);
  first.wait(Event());  // already done
  WorkerPool pool(1);
  CpuStream cpu(pool, CpuStream::Mode::threaded);
  first.wait(cpu.record());  // of another device
  EXPECT_THROW(first.seconds_between(begin, cpu.record()), ContractError);
}

TEST(CudaDevice, MemoryIsZeroedCountedAndOutlivesItsAllocator) {
  BufferRef kept;
  {
    const auto allocator = make_cuda_allocator(0);
    kept = allocator->allocate(1000, "kept");
    { const BufferRef gone = allocator->allocate(500, "gone"); }
    EXPECT_EQ(allocator->total().bytes, 1000);
    EXPECT_EQ(allocator->total().peak_bytes, 1500);
    EXPECT_EQ(allocator->table().at("gone").count, 1);
  }
  std::vector<std::byte> host(1000, std::byte{1});
  cuda_check(cudaMemcpy(host.data(), kept->data(), host.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  EXPECT_EQ(host, std::vector<std::byte>(1000));
}

// Host memory that the host itself may touch.
TEST(CudaDevice, PinnedMemoryIsTheHosts) {
  const auto allocator = make_pinned_allocator(0);
  const BufferRef buffer = allocator->allocate(5000, "pinned");
  EXPECT_EQ(buffer->device().kind, DeviceKind::cpu);
  EXPECT_EQ(buffer->data()[4999], std::byte{0});
  buffer->data()[4999] = std::byte{7};
  EXPECT_EQ(allocator->total().bytes, 5000);
}

TEST(CudaDevice, RunningOutOfMemoryShowsTheTable) {
  const auto allocator = make_cuda_allocator(0);
  const BufferRef held = allocator->allocate(3 << 20, "weights");
  try {
    allocator->allocate(int64_t{1} << 50, "arena");
    ADD_FAILURE() << "a petabyte was given";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::memory);
    EXPECT_THAT(error.report().what, HasSubstr("'arena'"));
    EXPECT_THAT(error.report().found, HasSubstr("weights"));
  }
  EXPECT_EQ(allocator->total().bytes, 3 << 20);
  EXPECT_NO_THROW(allocator->allocate(64, "small"));  // the device is as good as before
}

TEST(CudaDevice, ErrorsSayWhatTheyMeanForARun) {
  const auto fault_of = [](cudaError_t code) {
    try {
      cuda_check(code, "someCall");
    } catch (const Error& error) {
      EXPECT_EQ(error.report().where, "someCall");
      EXPECT_FALSE(error.report().fix.empty());
      return error.fault();
    }
    return Fault::internal;
  };
  EXPECT_NO_THROW(cuda_check(cudaSuccess, "someCall"));
  EXPECT_EQ(fault_of(cudaErrorNoDevice), Fault::environment);
  EXPECT_EQ(fault_of(cudaErrorInsufficientDriver), Fault::environment);
  EXPECT_EQ(fault_of(cudaErrorMemoryAllocation), Fault::memory);
  EXPECT_EQ(fault_of(cudaErrorIllegalAddress), Fault::environment);
  EXPECT_THROW(cuda_check(cudaErrorInvalidValue, "someCall"), ContractError);
}

}  // namespace
}  // namespace strata
