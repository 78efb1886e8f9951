// SPDX-License-Identifier: Apache-2.0
// The bytes of one in-memory file, as running programs see them, and what of them a power cut would leave.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

namespace strata {

class MemoryContent {
 public:
  // Asked for each un-synced block and size: does the new value survive?
  using Survives = std::function<bool()>;

  explicit MemoryContent(int64_t block_bytes) : block_bytes_(block_bytes) {}

  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  std::span<const std::byte> bytes() const { return bytes_; }

  // A block that is overwritten before it was synced may have reached the disk meanwhile: `survives` decides.
  void write(int64_t offset, std::span<const std::byte> from, const Survives& survives);
  void resize(int64_t bytes, const Survives& survives);
  void sync();
  // Keeps or loses each change since the last sync.
  void lose_power(const Survives& survives);

 private:
  void keep_old(int64_t begin, int64_t end, const Survives& survives);

  int64_t block_bytes_;
  std::vector<std::byte> bytes_;
  int64_t durable_size_ = 0;
  std::map<int64_t, std::vector<std::byte>> durable_blocks_;  // block -> content on disk, where that is older
};

}  // namespace strata
