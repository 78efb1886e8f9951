// SPDX-License-Identifier: Apache-2.0
#include "offload/pinned_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sstream>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/device/host_memory.h"
#include "core/device/ledger.h"

namespace strata {
namespace {

constexpr int64_t kPage = 4096, kHugePage = int64_t{2} << 20;

// Bytes of [begin, end) in huge pages, as the kernel counts them for the mappings it lies in (neighbours may
// share one).
int64_t huge_bytes(const std::byte* begin, const std::byte* end) {
  const auto from = reinterpret_cast<uintptr_t>(begin), to = reinterpret_cast<uintptr_t>(end);
  std::ifstream maps("/proc/self/smaps");
  int64_t bytes = 0, overlap = 0;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t first = 0, last = 0;
    char dash = 0;
    std::istringstream words(line);
    if (words >> std::hex >> first >> dash >> last && dash == '-')
      overlap = static_cast<int64_t>(std::min(last, to)) - static_cast<int64_t>(std::max(first, from));
    else if (overlap > 0 && line.starts_with("AnonHugePages:"))
      bytes += std::min<int64_t>(overlap, std::strtoll(line.c_str() + 14, nullptr, 10) * 1024);
  }
  return bytes;
}

[[noreturn]] void no_memory(const std::string& label, int64_t bytes, int code) {
  throw Error(Fault::memory,
              {.what = fmt::format("no host memory for '{}'", label),
               .found = fmt::format("{} bytes asked for, {} free: {}", bytes,
                                    look_at_host_memory().free_bytes(), std::strerror(code)),
               .fix = "keep less on the host: another tier in [offload], or a smaller offload.host_limit"});
}

// A huge page more than needed, trimmed so that the rest begins at one: a mapping of its own, of exactly
// `bytes`.
std::byte* map_pages(int64_t bytes, const std::string& label) {
  const int64_t extra = bytes >= kHugePage ? kHugePage : 0;
  void* const raw = mmap(nullptr, static_cast<size_t>(bytes + extra), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) no_memory(label, bytes, errno);
  auto* const base = static_cast<std::byte*>(raw);
  if (extra == 0) return base;
  const auto address = reinterpret_cast<uintptr_t>(base);
  const auto skip = static_cast<int64_t>((kHugePage - address % kHugePage) % kHugePage);
  if (skip > 0) munmap(base, static_cast<size_t>(skip));
  if (extra > skip) munmap(base + skip + bytes, static_cast<size_t>(extra - skip));
  return base + skip;
}

class PagePinnedAllocator : public PinnedAllocator {
 public:
  BufferRef allocate(int64_t bytes, std::string label) override {
    check(bytes >= 0, "[allocate] {} bytes for '{}'", bytes, label);
    const int64_t mapped = (std::max<int64_t>(bytes, 1) + kPage - 1) / kPage * kPage;
    std::byte* const data = map_pages(mapped, label);
    madvise(data, static_cast<size_t>(mapped), MADV_HUGEPAGE);  // advice
    make_resident(data, mapped, label);
    const bool locked = mlock(data, static_cast<size_t>(mapped)) == 0;
    const int code = errno;
    note(data, mapped, label, locked, code);
    ledger_->add(label, mapped);
    return std::make_shared<Buffer>(data, bytes, Device{DeviceKind::cpu, 0}, label,
                                    [ledger = ledger_, label, mapped](std::byte* pointer) {
                                      munmap(pointer, static_cast<size_t>(mapped));
                                      ledger->remove(label, mapped);
                                    });
  }

  std::map<std::string, Use> table() const override { return ledger_->table(); }
  Use total() const override { return ledger_->total(); }
  PinnedMemoryReport report() const override {
    const std::lock_guard lock(mutex_);
    return report_;
  }

 private:
  static void make_resident(std::byte* data, int64_t bytes, const std::string& label) {
    if (madvise(data, static_cast<size_t>(bytes), MADV_POPULATE_WRITE) == 0) return;
    const int code = errno;
    if (code == EINVAL) {  // a kernel before 5.14
      for (int64_t at = 0; at < bytes; at += kPage) data[at] = std::byte{0};
      return;
    }
    munmap(data, static_cast<size_t>(bytes));
    no_memory(label, bytes, code);
  }

  void note(const std::byte* data, int64_t bytes, const std::string& label, bool locked, int code) {
    const int64_t huge = huge_bytes(data, data + bytes);
    const std::lock_guard lock(mutex_);
    report_.bytes += bytes;
    report_.huge_bytes += huge;
    if (locked) report_.locked_bytes += bytes;
    if (!locked)
      report_.notes.push_back(
          fmt::format("'{}' ({} bytes) is not locked: {}; RLIMIT_MEMLOCK (ulimit -l) is {} bytes", label,
                      bytes, std::strerror(code), look_at_host_memory().locked_limit_bytes));
    if (huge < bytes / kHugePage * kHugePage)
      report_.notes.push_back(
          fmt::format("'{}': {} of {} bytes are in huge pages (transparent_hugepage is '{}')", label, huge,
                      bytes, look_at_host_memory().huge_pages));
  }

  std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>();
  mutable std::mutex mutex_;
  PinnedMemoryReport report_;
};

}  // namespace

std::shared_ptr<PinnedAllocator> make_pinned_allocator() { return std::make_shared<PagePinnedAllocator>(); }

}  // namespace strata
