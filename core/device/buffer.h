// SPDX-License-Identifier: Apache-2.0
// Bytes with an owner and a name, and the allocators that hand them out. Every allocation is labelled so that
// memory prints as a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/device/device.h"

namespace strata {

class Buffer {
 public:
  // `release` is called once, with `data`, when the last handle goes.
  Buffer(std::byte* data, int64_t bytes, Device device, std::string label,
         std::function<void(std::byte*)> release);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() const { return data_; }  // null on the meta device
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  const std::string& label() const { return label_; }

 private:
  std::byte* data_;
  int64_t bytes_;
  Device device_;
  std::string label_;
  std::function<void(std::byte*)> release_;
};

using BufferRef = std::shared_ptr<Buffer>;

// Alignment of every buffer and of every tensor inside an arena: a cache line and an AVX-512 vector.
inline constexpr int64_t kTensorAlignment = 64;

// Allocates on one device and counts by label. Thread-safe. An allocator must outlive nothing: buffers keep
// what they need. Throws Error(memory) naming the label, the bytes asked for and the table of what is held.
class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual BufferRef allocate(int64_t bytes, std::string label) = 0;

  struct Use {
    int64_t bytes = 0;       // held now
    int64_t peak_bytes = 0;  // most ever held
    int64_t count = 0;       // allocations made so far, freed ones included
  };
  virtual std::map<std::string, Use> table() const = 0;
  virtual Use total() const = 0;
};

// Host memory: 64-byte aligned, zeroed; large buffers start on a 2 MiB boundary and ask for huge pages.
std::shared_ptr<Allocator> make_cpu_allocator();
// No memory at all: buffers have a size and a null pointer.
std::shared_ptr<Allocator> make_meta_allocator();

// The allocator's table as text, largest first, bytes in binary units.
std::string memory_table(const Allocator& allocator);

}  // namespace strata
