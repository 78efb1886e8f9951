// SPDX-License-Identifier: Apache-2.0
// The functions of the CUDA runtime that Strata calls, for pretended GPUs: STRATA_CUDA_DEVICES of them (none
// unless the environment says otherwise, so that nobody gets one by accident: they are slow). Streams and
// events are streams.h, device memory is device_memory.h. Where CUDA would answer with an error, so does
// this.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "tests/support/cuda_on_cpu/call_faults.h"
#include "tests/support/cuda_on_cpu/device_memory.h"
#include "tests/support/cuda_on_cpu/streams.h"

namespace {

using strata::cuda_on_cpu::DeviceMemoryAccess;
using strata::cuda_on_cpu::enqueue;
using strata::cuda_on_cpu::finish;

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t answer(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}

// The planned fault of this call, if it is one.
cudaError_t fault(const char* function) {
  return answer(static_cast<cudaError_t>(strata::cuda_on_cpu::call_fault(function)));
}

// Host memory that copies may use later.
class PageLocked {
 public:
  void add(const void* memory, size_t bytes) {
    const std::lock_guard lock(mutex_);
    pieces_[static_cast<const char*>(memory)] = bytes;
  }
  void remove(const void* memory) {
    const std::lock_guard lock(mutex_);
    pieces_.erase(static_cast<const char*>(memory));
  }
  bool holds(const void* address) {
    const std::lock_guard lock(mutex_);
    const auto* const at = static_cast<const char*>(address);
    const auto after = pieces_.upper_bound(at);
    if (after == pieces_.begin()) return false;
    const auto piece = std::prev(after);
    return at < piece->first + piece->second;
  }

 private:
  std::mutex mutex_;
  std::map<const char*, size_t> pieces_;
};
PageLocked* const all_page_locked = new PageLocked;  // before main(), and never destroyed: as all_addresses
PageLocked& page_locked() { return *all_page_locked; }

void set_bytes(void* memory, int value, size_t bytes, cudaStream_t stream) {
  enqueue(stream, [=] {
    const DeviceMemoryAccess open;
    if (value == 0)
      strata::cuda_on_cpu::clear_device_memory(memory, bytes);
    else if (bytes > 0)
      std::memset(memory, value, bytes);
  });
}

int num_devices() {
  const char* const wish = std::getenv("STRATA_CUDA_DEVICES");
  return wish ? std::atoi(wish) : 0;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  if (const cudaError_t code = fault("cudaGetDeviceCount")) return code;
  *count = num_devices();
  return answer(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int device) {
  if (const cudaError_t code = fault("cudaSetDevice")) return code;
  if (device < 0 || device >= num_devices()) return answer(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const cudaError_t code = fault("cudaGetDeviceProperties")) return code;
  if (device < 0 || device >= num_devices()) return answer(cudaErrorInvalidDevice);
  std::memset(properties, 0, sizeof(*properties));
  std::strcpy(properties->name, "a pretended GPU");
  properties->major = 9;
  properties->multiProcessorCount = 132;
  properties->warpSize = 32;
  properties->totalGlobalMem = strata::cuda_on_cpu::device_memory_limit();
  properties->sharedMemPerBlockOptin = 227 << 10;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  if (const cudaError_t code = fault("cudaDeviceGetPCIBusId")) return code;
  std::snprintf(id, static_cast<size_t>(length), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (const cudaError_t code = fault("cudaDeviceGetAttribute")) return code;
  if (device < 0 || device >= num_devices()) return answer(cudaErrorInvalidDevice);
  if (attribute != cudaDevAttrClockRate) return answer(cudaErrorInvalidValue);
  *value = 1'980'000;  // kHz
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (const cudaError_t code = fault("cudaDeviceGetStreamPriorityRange")) return code;
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (const cudaError_t code = fault("cudaDeviceCanAccessPeer")) return code;
  *can = device != peer;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  if (const cudaError_t code = fault("cudaDriverGetVersion")) return code;
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  if (const cudaError_t code = fault("cudaRuntimeGetVersion")) return code;
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  const cudaError_t code = last_error;
  last_error = cudaSuccess;
  return code;
}
cudaError_t cudaPeekAtLastError() { return last_error; }
const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorECCUncorrectable:
      return "uncorrectable ECC error encountered";
    default:
      return "an error of the pretended GPU";
  }
}
const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorECCUncorrectable:
      return "cudaErrorECCUncorrectable";
    default:
      return "cudaErrorUnknown";
  }
}

// ---- memory
// ---------------------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  if (const cudaError_t code = fault("cudaMalloc")) return code;
  *memory = strata::cuda_on_cpu::take_device_memory(current_device, bytes);
  if (*memory) strata::cuda_on_cpu::count_held("device memory", 1);
  return answer(*memory ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* memory) {
  strata::cuda_on_cpu::finish_all_streams();  // as CUDA does
  const cudaError_t code = fault("cudaFree");
  if (!memory) return code;
  if (!strata::cuda_on_cpu::give_back_device_memory(memory)) return answer(cudaErrorInvalidValue);
  strata::cuda_on_cpu::count_held("device memory", -1);
  return code;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (const cudaError_t code = fault("cudaMemGetInfo")) return code;
  *total = strata::cuda_on_cpu::device_memory_limit();
  const size_t used = strata::cuda_on_cpu::device_memory_used(current_device);
  *free = *total > used ? *total - used : 0;
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  if (const cudaError_t code = fault("cudaHostAlloc")) return code;
  const size_t mapped = (bytes + 4095) / 4096 * 4096;
  *memory = std::aligned_alloc(4096, mapped);
  if (*memory) {
    page_locked().add(*memory, mapped);
    strata::cuda_on_cpu::count_held("page-locked memory", 1);
  }
  return answer(*memory ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* memory) {
  strata::cuda_on_cpu::finish_all_streams();
  page_locked().remove(memory);
  std::free(memory);
  if (memory) strata::cuda_on_cpu::count_held("page-locked memory", -1);
  return fault("cudaFreeHost");
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  if (const cudaError_t code = fault("cudaHostGetDevicePointer")) return code;
  *device = host;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (const cudaError_t code = fault("cudaMemcpyAsync")) return code;
  using strata::cuda_on_cpu::is_device_memory;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && bytes > 0 &&
      (is_device_memory(to) != to_device || is_device_memory(from) != from_device))
    return answer(cudaErrorInvalidValue);  // as a GPU would find out for most such pointers
  if (bytes == 0) return cudaSuccess;
  const auto copy = [=] {
    const DeviceMemoryAccess open;
    std::memmove(to, from, bytes);
  };
  // Of memory that is not page-locked CUDA makes a copy before it returns.
  const auto waits = [](const void* side) { return !is_device_memory(side) && !page_locked().holds(side); };
  enqueue(stream, copy);
  if (waits(to) || waits(from)) finish(stream);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t code = fault("cudaMemcpy")) return code;
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t code = fault("cudaMemcpy2DAsync")) return code;
  if (width > to_pitch || width > from_pitch) return answer(cudaErrorInvalidValue);
  for (size_t row = 0; row < height; ++row) {
    const cudaError_t code =
        cudaMemcpyAsync(static_cast<char*>(to) + row * to_pitch,
                        static_cast<const char*>(from) + row * from_pitch, width, kind, stream);
    if (code != cudaSuccess) return code;
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  if (const cudaError_t code = fault("cudaMemsetAsync")) return code;
  set_bytes(memory, value, bytes, stream);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  if (const cudaError_t code = fault("cudaMemset")) return code;
  set_bytes(memory, value, bytes, nullptr);
  return cudaSuccess;
}

}  // extern "C"
