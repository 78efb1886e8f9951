// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/zip_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/base/error.h"

namespace strata {
namespace {

template <typename T>
T at(std::span<const std::byte> bytes, size_t offset) {  // little-endian; the caller has checked the size
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kLocator64 = 0x07064b50;
constexpr int64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;

class Reader {
 public:
  Reader(File& file, int64_t base, int64_t bytes) : file_(file), base_(base), size_(bytes) {}

  std::map<std::string, ZipEntry> read() {
    find_directory();
    std::vector<std::byte> directory(static_cast<size_t>(directory_bytes_));
    read_at(directory_offset_, directory);
    std::map<std::string, ZipEntry> entries;
    size_t next = 0;
    for (int64_t i = 0; i < count_; ++i) {
      const std::span<const std::byte> rest = std::span<const std::byte>(directory).subspan(next);
      if (std::ssize(rest) < kCentralBytes || at<uint32_t>(rest, 0) != kCentral)
        refuse(fmt::format("no directory entry {} of {}", i, count_));
      next += read_entry(rest, entries);
    }
    if (next != directory.size()) refuse("more behind the last directory entry");
    check_overlaps(entries);
    return entries;
  }

 private:
  [[noreturn]] void refuse(std::string found) const {
    throw Error(Fault::model, {.what = "this is no whole ZIP archive as torch.save writes it",
                               .where = file_.path(),
                               .found = std::move(found),
                               .fix = "fetch or write the file again"});
  }

  // Offsets in the archive count from its own first byte.
  void read_at(int64_t offset, std::span<std::byte> into) const { file_.read(base_ + offset, into); }

  void find_directory() {
    const int64_t tail_bytes = std::min(size_, kEndBytes + 65535);
    std::vector<std::byte> tail(static_cast<size_t>(tail_bytes));
    read_at(size_ - tail_bytes, tail);
    int64_t end = -1;
    for (int64_t i = tail_bytes - kEndBytes; i >= 0 && end < 0; --i) {
      const auto record = std::span<const std::byte>(tail).subspan(static_cast<size_t>(i));
      if (at<uint32_t>(record, 0) == kEnd && i + kEndBytes + at<uint16_t>(record, 20) == tail_bytes) end = i;
    }
    if (end < 0) refuse("no directory at its end");
    const auto record = std::span<const std::byte>(tail).subspan(static_cast<size_t>(end));
    if (at<uint16_t>(record, 4) != 0 || at<uint16_t>(record, 6) != 0) refuse("an archive of several disks");
    uint64_t count = at<uint16_t>(record, 10), bytes = at<uint32_t>(record, 12),
             offset = at<uint32_t>(record, 16);
    int64_t limit = size_ - tail_bytes + end;  // the directory ends before it
    if (end >= kLocatorBytes) {
      const auto locator = std::span<const std::byte>(tail).subspan(static_cast<size_t>(end - kLocatorBytes));
      if (at<uint32_t>(locator, 0) == kLocator64) {
        const auto where = at<uint64_t>(locator, 8);
        if (where > static_cast<uint64_t>(limit - kLocatorBytes) ||
            limit - kLocatorBytes - static_cast<int64_t>(where) < kEnd64Bytes)
          refuse("a directory outside the file");
        std::array<std::byte, kEnd64Bytes> end64;
        read_at(static_cast<int64_t>(where), end64);
        if (at<uint32_t>(end64, 0) != kEnd64) refuse("no 64-bit directory where it should be");
        count = at<uint64_t>(end64, 32);
        bytes = at<uint64_t>(end64, 40);
        offset = at<uint64_t>(end64, 48);
        limit = static_cast<int64_t>(where);
      }
    }
    if (count > static_cast<uint64_t>(kZipEntries)) refuse(fmt::format("{} entries", count));
    if (bytes > static_cast<uint64_t>(kZipDirectoryBytes))
      refuse(fmt::format("a directory of {} bytes", bytes));
    if (offset > static_cast<uint64_t>(limit) || bytes > static_cast<uint64_t>(limit) - offset)
      refuse("a directory outside the file");
    count_ = static_cast<int64_t>(count);
    directory_bytes_ = static_cast<int64_t>(bytes);
    directory_offset_ = static_cast<int64_t>(offset);
  }

  // Returns the bytes of the directory entry that `rest` begins with.
  size_t read_entry(std::span<const std::byte> rest, std::map<std::string, ZipEntry>& entries) const {
    const size_t name_bytes = at<uint16_t>(rest, 28), extra_bytes = at<uint16_t>(rest, 30),
                 comment_bytes = at<uint16_t>(rest, 32);
    const size_t whole = kCentralBytes + name_bytes + extra_bytes + comment_bytes;
    if (rest.size() < whole) refuse("a directory entry that ends beyond the directory");
    std::string name(reinterpret_cast<const char*>(rest.data()) + kCentralBytes, name_bytes);
    const auto fault = [&](const char* what) { refuse(fmt::format("'{}' {}", name.substr(0, 80), what)); };
    if (at<uint16_t>(rest, 8) & 1) fault("is encrypted");
    if (at<uint16_t>(rest, 10) != 0) fault("is compressed");
    uint64_t packed = at<uint32_t>(rest, 20), bytes = at<uint32_t>(rest, 24), offset = at<uint32_t>(rest, 42);
    constexpr uint32_t kIn64 = 0xffffffff;
    auto extra = rest.subspan(kCentralBytes + name_bytes, extra_bytes);
    while (extra.size() >= 4) {
      const uint16_t id = at<uint16_t>(extra, 0);
      const size_t length = at<uint16_t>(extra, 2);
      if (length > extra.size() - 4) fault("has an extra field that ends beyond it");
      if (id == 1) {
        size_t next = 4;
        for (uint64_t* const value : {&bytes, &packed, &offset}) {
          if (*value != kIn64) continue;
          if (next + 8 > 4 + length) fault("has too short a 64-bit field");
          *value = at<uint64_t>(extra, next);
          next += 8;
        }
      }
      extra = extra.subspan(4 + length);
    }
    if (packed != bytes) fault("is compressed");
    if (offset > static_cast<uint64_t>(size_) || size_ - static_cast<int64_t>(offset) < kLocalBytes)
      fault("lies outside the file");
    std::array<std::byte, kLocalBytes> local;
    read_at(static_cast<int64_t>(offset), local);
    if (at<uint32_t>(local, 0) != kLocal || at<uint16_t>(local, 8) != 0 ||
        at<uint16_t>(local, 26) != name_bytes)
      fault("has another header");
    const uint64_t begin = offset + kLocalBytes + name_bytes + at<uint16_t>(local, 28);
    if (begin > static_cast<uint64_t>(size_) || bytes > static_cast<uint64_t>(size_) - begin)
      fault("lies outside the file");
    std::string own(name_bytes, '\0');
    read_at(static_cast<int64_t>(offset) + kLocalBytes, std::as_writable_bytes(std::span(own)));
    if (own != name) fault("has another header");
    if (!entries.emplace(name, ZipEntry{base_ + static_cast<int64_t>(begin), static_cast<int64_t>(bytes)})
             .second)
      fault("is there twice");
    return whole;
  }

  void check_overlaps(const std::map<std::string, ZipEntry>& entries) const {
    std::vector<const ZipEntry*> order;
    for (const auto& [name, entry] : entries) order.push_back(&entry);
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
      return std::tie(a->offset, a->bytes) < std::tie(b->offset, b->bytes);
    });
    int64_t end = 0;
    for (const ZipEntry* entry : order) {
      if (entry->offset < end) refuse("entries that overlap");
      end = entry->offset + entry->bytes;
    }
    if (end > base_ + directory_offset_) refuse("an entry that overlaps the directory");
  }

  File& file_;
  int64_t base_, size_;
  int64_t count_ = 0, directory_bytes_ = 0, directory_offset_ = 0;
};

}  // namespace

std::map<std::string, ZipEntry> read_zip_directory(File& file, int64_t offset, int64_t bytes) {
  const int64_t size = file.size();
  if (offset < 0 || bytes < 0 || offset > size || bytes > size - offset)
    throw Error(Fault::model, {.what = "an archive does not lie in its file",
                               .where = file.path(),
                               .found = fmt::format("{} bytes at {} of {}", bytes, offset, size)});
  return Reader(file, offset, bytes).read();
}

std::map<std::string, ZipEntry> read_zip_directory(File& file) {
  return read_zip_directory(file, 0, file.size());
}

}  // namespace strata
