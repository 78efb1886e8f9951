// SPDX-License-Identifier: Apache-2.0
#include "core/io/memory_content.h"

#include <algorithm>

namespace strata {

void MemoryContent::keep_old(int64_t begin, int64_t end, const Survives& survives) {
  for (int64_t block = begin / block_bytes_; block * block_bytes_ < end; ++block) {
    const int64_t from = std::min(block * block_bytes_, size()), to = std::min(from + block_bytes_, size());
    std::vector<std::byte> old(bytes_.begin() + from, bytes_.begin() + to);
    old.resize(static_cast<size_t>(block_bytes_));
    const auto known = durable_blocks_.find(block);
    if (known == durable_blocks_.end())
      durable_blocks_.emplace(block, std::move(old));
    else if (survives())
      known->second = std::move(old);
  }
}

void MemoryContent::write(int64_t offset, std::span<const std::byte> from, const Survives& survives) {
  const int64_t end = offset + std::ssize(from);
  keep_old(offset, end, survives);
  if (end > size()) bytes_.resize(static_cast<size_t>(end));
  std::copy(from.begin(), from.end(), bytes_.begin() + offset);
}

void MemoryContent::resize(int64_t bytes, const Survives& survives) {
  if (bytes < size()) keep_old(bytes, size(), survives);
  bytes_.resize(static_cast<size_t>(bytes));
}

void MemoryContent::sync() {
  durable_size_ = size();
  durable_blocks_.clear();
}

void MemoryContent::lose_power(const Survives& survives) {
  const int64_t left = size() == durable_size_ || survives() ? size() : durable_size_;
  bytes_.resize(static_cast<size_t>(std::max(size(), durable_size_)));
  for (const auto& [block, old] : durable_blocks_) {
    if (survives()) continue;
    const int64_t at = block * block_bytes_, end = std::min(at + block_bytes_, size());
    if (at < end) std::copy(old.begin(), old.begin() + (end - at), bytes_.begin() + at);
  }
  bytes_.resize(static_cast<size_t>(left));
  sync();
}

}  // namespace strata
