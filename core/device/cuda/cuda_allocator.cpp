// SPDX-License-Identifier: Apache-2.0
#include "core/device/cuda/cuda_allocator.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/cuda_stream.h"
#include "core/device/ledger.h"

namespace strata {
namespace {

// Zeroes and waits, so that memory is as defined as the host's from the first use on, by any stream.
void zero(void* memory, int64_t bytes) {
  cuda_check(cudaMemset(memory, 0, static_cast<size_t>(bytes)), "cudaMemset");
  cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

class CudaAllocator final : public LedgerAllocator {
 public:
  explicit CudaAllocator(int index) : index_(index) {}

  BufferRef allocate(int64_t bytes, std::string label) override {
    check(bytes >= 0, "[allocate] {} bytes for '{}'", bytes, label);
    use_gpu(index_);
    void* memory = nullptr;
    const int64_t mapped = std::max<int64_t>(bytes, 1);
    const cudaError_t code = cudaMalloc(&memory, static_cast<size_t>(mapped));
    if (code == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // forget it: the GPU is as good as before
      out_of_memory(bytes, label);
    }
    cuda_check(code, "cudaMalloc");
    // From here on the buffer owns the memory.
    auto buffer =
        std::make_shared<Buffer>(static_cast<std::byte*>(memory), bytes, Device{DeviceKind::cuda, index_},
                                 label, [ledger = ledger(), label, bytes](std::byte* pointer) {
                                   cuda_log(cudaFree(pointer), "cudaFree");
                                   ledger->remove(label, bytes);
                                 });
    ledger()->add(label, bytes);
    zero(memory, mapped);
    return buffer;
  }

 private:
  [[noreturn]] void out_of_memory(int64_t bytes, const std::string& label) const {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw Error(
        Fault::memory,
        {.what = fmt::format("no GPU memory for '{}'", label),
         .where = to_string(Device{DeviceKind::cuda, index_}),
         .found = fmt::format("{} bytes asked for, {} held by this run, {} of {} free\n{}", bytes,
                              this->total().bytes, free, total, memory_table(*this)),
         .fix = "lower batch.micro_batch or data.seq_len, set parallel.recompute = \"full\", or end other "
                "programs that use this GPU"});
  }

  int index_;
};

class PinnedAllocator final : public LedgerAllocator {
 public:
  explicit PinnedAllocator(int index) : index_(index) {}

  BufferRef allocate(int64_t bytes, std::string label) override {
    check(bytes >= 0, "[allocate] {} bytes for '{}'", bytes, label);
    use_gpu(index_);
    void* memory = nullptr;
    const size_t mapped = static_cast<size_t>(round_up(std::max<int64_t>(bytes, 1), 4096));
    const cudaError_t code = cudaHostAlloc(&memory, mapped, cudaHostAllocPortable | cudaHostAllocMapped);
    if (code == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw Error(Fault::memory,
                  {.what = fmt::format("no page-locked host memory for '{}'", label),
                   .where = "cudaHostAlloc",
                   .found = fmt::format("{} bytes asked for, {} held", bytes, total().bytes),
                   .fix = "raise the limits of locked memory (ulimit -l) and of the control group"});
    }
    cuda_check(code, "cudaHostAlloc");
    ledger()->add(label, bytes);
    std::fill_n(static_cast<std::byte*>(memory), mapped, std::byte{0});
    return std::make_shared<Buffer>(static_cast<std::byte*>(memory), bytes, Device{DeviceKind::cpu, 0}, label,
                                    [ledger = ledger(), label, bytes](std::byte* pointer) {
                                      cuda_log(cudaFreeHost(pointer), "cudaFreeHost");
                                      ledger->remove(label, bytes);
                                    });
  }

 private:
  int index_;
};

}  // namespace

std::shared_ptr<Allocator> make_cuda_allocator(int index) { return std::make_shared<CudaAllocator>(index); }
std::shared_ptr<Allocator> make_pinned_allocator(int index) {
  return std::make_shared<PinnedAllocator>(index);
}

}  // namespace strata
