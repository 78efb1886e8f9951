// SPDX-License-Identifier: Apache-2.0
// Operations under test on the CUDA device. Linked instead of run_on_cpu.cpp.
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <string_view>

#include "core/device/cuda/cuda_allocator.h"
#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/cuda_stream.h"
#include "tests/support/cuda/cuda_device.h"

namespace strata {
namespace {

class CudaMemory final : public TestMemory {
 public:
  Tensor allocate(DType dtype, int64_t count) override {
    return make_tensor(*allocator_, dtype, {count}, "test");
  }
  void read(void* host, const std::byte* device, int64_t bytes) const override {
    move(host, device, bytes, cudaMemcpyDeviceToHost);
  }
  void write(std::byte* device, const void* host, int64_t bytes) const override {
    move(device, host, bytes, cudaMemcpyHostToDevice);
  }

 private:
  static void move(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    cuda_check(cudaMemcpy(to, from, static_cast<size_t>(bytes), kind), "cudaMemcpy");
    cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // other streams do not wait for the default one
  }
  std::shared_ptr<Allocator> allocator_ = make_cuda_allocator(0);
};

// Kernels take one path for operands on 16-byte boundaries and another for the rest: ctest runs the tests under both.
TestTensors::Placing placing() {
  const char* const wish = std::getenv("STRATA_TEST_PLACING");
  return wish && std::string_view(wish) == "aligned" ? TestTensors::Placing::aligned
                                                     : TestTensors::Placing::unaligned;
}

}  // namespace

std::unique_ptr<Stream> make_cuda_test_stream() { return std::make_unique<CudaStream>(0); }
std::shared_ptr<TestMemory> make_cuda_test_memory() { return std::make_shared<CudaMemory>(); }

std::vector<Tensor> run_everywhere(const Operation& op, const std::vector<Isa>&) {
  std::vector<Tensor> first;
  for_schedules([&] {
    CudaStream stream(0);
    const std::vector<Tensor> results = run_once(op, stream, make_cuda_test_memory(), placing());
    if (first.empty())
      first = results;
    else
      expect_same_bits(first, results, "the first order of threads and a later one");
  });
  return first;
}

}  // namespace strata
