// SPDX-License-Identifier: Apache-2.0
// Memory of the pretended GPUs: addresses that only kernels, copies and stand-in libraries may touch.
// Anything else that does is stopped at the very instruction, as a host that takes a device's pointer for its
// own would be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace strata::cuda_on_cpu {

// While one of these lives, in any thread, device memory is open.
class DeviceMemoryAccess {
 public:
  DeviceMemoryAccess();
  ~DeviceMemoryAccess();
  DeviceMemoryAccess(const DeviceMemoryAccess&) = delete;
  DeviceMemoryAccess& operator=(const DeviceMemoryAccess&) = delete;
};

// Null when GPU `index` has not that much left. Filled with 0xFF, which is NaN in a float; AddressSanitizer
// knows where a piece ends.
void* take_device_memory(int index, size_t bytes);
// False when `memory` is no piece's beginning.
bool give_back_device_memory(void* memory);
// Zeroes; access must be open.
void clear_device_memory(void* memory, size_t bytes);
bool is_device_memory(const void* address);

// Of GPU `index`: what it has, and holds.
void set_device_memory_limit(size_t bytes);  // of each GPU; 16 GiB at first
size_t device_memory_limit();
size_t device_memory_used(int index);

}  // namespace strata::cuda_on_cpu
