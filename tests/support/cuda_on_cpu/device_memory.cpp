// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cuda_on_cpu/device_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>

#include "tests/support/cuda_on_cpu/sanitizers.h"

namespace strata::cuda_on_cpu {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kReserved = size_t{64} << 30;  // addresses, not memory

struct Piece {
  int index;
  size_t bytes, mapped;
};

// The addresses of all pretended GPUs: one range, of which [0, used) has been given out.
class Addresses {
 public:
  Addresses() {
    void* const memory =
        mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(memory);
  }

  void open() {
    std::lock_guard lock(mutex_);
    if (open_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    std::lock_guard lock(mutex_);
    if (--open_ == 0) protect(PROT_NONE);
  }

  void* take(int index, size_t bytes) {
    std::lock_guard lock(mutex_);
    // A page more, that is never given out: what runs over its end by far meets nobody else's piece.
    const size_t mapped = (std::max<size_t>(bytes, 1) + kPage - 1) / kPage * kPage + kPage;
    if (held_[index] + bytes > limit_ || used_ + mapped > kReserved) return nullptr;
    std::byte* const memory = find(mapped);
    held_[index] += bytes;
    pieces_[memory] = {index, bytes, mapped};
    mprotect(memory, mapped, PROT_READ | PROT_WRITE);
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(memory, mapped);
    std::fill_n(memory, bytes, std::byte{0xFF});
    if (__asan_poison_memory_region) __asan_poison_memory_region(memory + bytes, mapped - bytes);
    if (open_ == 0) mprotect(memory, mapped, PROT_NONE);
    return memory;
  }

  bool give_back(void* memory) {
    std::lock_guard lock(mutex_);
    const auto found = pieces_.find(static_cast<std::byte*>(memory));
    if (found == pieces_.end()) return false;
    const Piece piece = found->second;
    pieces_.erase(found);
    held_[piece.index] -= piece.bytes;
    madvise(memory, piece.mapped, MADV_DONTNEED);
    if (__asan_poison_memory_region) __asan_poison_memory_region(memory, piece.mapped);
    free_.emplace(piece.mapped, static_cast<std::byte*>(memory));
    return true;
  }

  bool contains(const void* address) const { return address >= base_ && address < base_ + kReserved; }
  void set_limit(size_t bytes) {
    std::lock_guard lock(mutex_);
    limit_ = bytes;
  }
  size_t limit() {
    std::lock_guard lock(mutex_);
    return limit_;
  }
  size_t held(int index) {
    std::lock_guard lock(mutex_);
    return held_[index];
  }

 private:
  std::byte* find(size_t mapped) {
    const auto found = free_.find(mapped);  // of just this size: pieces of tests come again and again
    if (found != free_.end()) {
      std::byte* const memory = found->second;
      free_.erase(found);
      return memory;
    }
    std::byte* const memory = base_ + used_;
    used_ += mapped;
    return memory;
  }
  void protect(int how) const {
    if (used_ > 0) mprotect(base_, used_, how);
  }

  std::mutex mutex_;
  std::byte* base_ = nullptr;
  size_t used_ = 0, limit_ = size_t{16} << 30;
  int open_ = 0;
  std::map<std::byte*, Piece> pieces_;
  std::multimap<size_t, std::byte*> free_;
  std::map<int, size_t> held_;
};

// Of the process, as a GPU's memory is. Never destroyed: static objects may still free device memory. Made
// before main(): ThreadSanitizer, which this is built without, would not see who waits for whom on first use.
Addresses* const all_addresses = new Addresses;
Addresses& addresses() { return *all_addresses; }

}  // namespace

DeviceMemoryAccess::DeviceMemoryAccess() { addresses().open(); }
DeviceMemoryAccess::~DeviceMemoryAccess() { addresses().close(); }

void* take_device_memory(int index, size_t bytes) { return addresses().take(index, bytes); }
bool give_back_device_memory(void* memory) { return addresses().give_back(memory); }
// Pages that nobody has written cost nothing when access is opened and closed.
void clear_device_memory(void* memory, size_t bytes) {
  auto* const begin = static_cast<std::byte*>(memory);
  const auto address = reinterpret_cast<size_t>(begin);
  const size_t head = std::min(bytes, (kPage - address % kPage) % kPage),
               pages = (bytes - head) / kPage * kPage;
  std::fill_n(begin, head, std::byte{0});
  if (pages > 0) madvise(begin + head, pages, MADV_DONTNEED);
  std::fill_n(begin + head + pages, bytes - head - pages, std::byte{0});
}
bool is_device_memory(const void* address) { return addresses().contains(address); }
void set_device_memory_limit(size_t bytes) { addresses().set_limit(bytes); }
size_t device_memory_limit() { return addresses().limit(); }
size_t device_memory_used(int index) { return addresses().held(index); }

}  // namespace strata::cuda_on_cpu
