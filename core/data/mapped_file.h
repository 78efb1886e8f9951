// SPDX-License-Identifier: Apache-2.0
// A whole file as read-only memory. The only place of core/data that knows how files are mapped.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace strata {

// Movable owner of the mapping; `bytes()` is valid as long as it lives and may be read from any thread. The
// file must not be shortened meanwhile (the kernel then kills the reader), which is why Strata replaces files
// by rename.
class MappedFile {
 public:
  // Throws Error(data) when the file is missing, unreadable or not a regular file. An empty file gives no
  // bytes.
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace strata
