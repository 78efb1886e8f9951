// SPDX-License-Identifier: Apache-2.0
#include "core/device/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/device/ledger.h"

namespace strata {

Buffer::Buffer(std::byte* data, int64_t bytes, Device device, std::string label,
               std::function<void(std::byte*)> release)
    : data_(data), bytes_(bytes), device_(device), label_(std::move(label)), release_(std::move(release)) {}

Buffer::~Buffer() {
  if (release_) release_(data_);
}

namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

// Anonymous memory: zeroed by the kernel, given back to it at release.
std::byte* map_pages(int64_t bytes, const std::string& label, const Ledger& ledger) {
  // Ask for one huge page more than needed and trim, so that the block starts on a huge-page boundary.
  const bool huge = bytes >= kHugePage;
  const int64_t extra = huge ? kHugePage : 0;
  void* raw = mmap(nullptr, static_cast<size_t>(bytes + extra), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED)
    throw Error(Fault::memory, {.what = fmt::format("no host memory for '{}'", label),
                                .where = "memory of this machine",
                                .found = fmt::format("{} bytes asked for, {} held ({})", bytes,
                                                     ledger.total().bytes, std::strerror(errno)),
                                .expected = "that much free memory; 'strata plan' says what a step needs",
                                .fix = "use a smaller micro_batch or model, or raise the memory limit"});
  auto* base = static_cast<std::byte*>(raw);
  if (!huge) return base;
  auto address = reinterpret_cast<uintptr_t>(base);
  auto* aligned = reinterpret_cast<std::byte*>((address + kHugePage - 1) / kHugePage * kHugePage);
  if (aligned != base) munmap(base, static_cast<size_t>(aligned - base));
  std::byte* const end = base + bytes + extra;
  if (aligned + bytes != end) munmap(aligned + bytes, static_cast<size_t>(end - (aligned + bytes)));
  madvise(aligned, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // advice only
  return aligned;
}

class CpuAllocator : public LedgerAllocator {
 public:
  BufferRef allocate(int64_t bytes, std::string label) override {
    check(bytes >= 0, "[allocate] {} bytes for '{}'", bytes, label);
    const int64_t mapped = round_up(std::max<int64_t>(bytes, 1), 4096);
    std::byte* data = map_pages(mapped, label, *ledger());
    ledger()->add(label, bytes);
    return std::make_shared<Buffer>(data, bytes, Device{DeviceKind::cpu, 0}, label,
                                    [ledger = ledger(), label, bytes, mapped](std::byte* pointer) {
                                      munmap(pointer, static_cast<size_t>(mapped));
                                      ledger->remove(label, bytes);
                                    });
  }
};

class MetaAllocator : public LedgerAllocator {
 public:
  BufferRef allocate(int64_t bytes, std::string label) override {
    ledger()->add(label, bytes);
    return std::make_shared<Buffer>(
        nullptr, bytes, Device{DeviceKind::meta, 0}, label,
        [ledger = ledger(), label, bytes](std::byte*) { ledger->remove(label, bytes); });
  }
};

}  // namespace

std::shared_ptr<Allocator> make_cpu_allocator() { return std::make_shared<CpuAllocator>(); }
std::shared_ptr<Allocator> make_meta_allocator() { return std::make_shared<MetaAllocator>(); }

std::string memory_table(const Allocator& allocator) {
  const auto table = allocator.table();
  std::vector<std::pair<std::string, Allocator::Use>> rows(table.begin(), table.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second.peak_bytes > b.second.peak_bytes; });
  std::string text = fmt::format("{:<32} {:>12} {:>12}\n", "memory", "now MiB", "peak MiB");
  auto line = [&](const std::string& label, const Allocator::Use& use) {
    text += fmt::format("{:<32} {:>12.1f} {:>12.1f}\n", label, static_cast<double>(use.bytes) / (1 << 20),
                        static_cast<double>(use.peak_bytes) / (1 << 20));
  };
  for (const auto& [label, use] : rows) line(label, use);
  line("total", allocator.total());
  return text;
}

}  // namespace strata
