// SPDX-License-Identifier: Apache-2.0
// Remembers the ids of short words: text repeats them, and merging costs ten times a look-up. Direct-mapped,
// one cache line an entry; a newcomer takes the place of what was there. One thread uses it at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace strata {

class WordCache {
 public:
  static constexpr size_t kWordBytes = 31;

  // The ids of `word`, empty when it is not known. Valid until the next insert.
  std::span<const int32_t> find(std::string_view word, uint64_t hash) const {
    const Entry& entry = entries_[hash & kMask];
    if (entry.bytes != word.size() || std::memcmp(entry.word, word.data(), word.size()) != 0) return {};
    return {entry.ids, entry.count};
  }
  void insert(std::string_view word, uint64_t hash, std::span<const int32_t> ids) {
    if (ids.empty() || ids.size() > kIds) return;
    Entry& entry = entries_[hash & kMask];
    entry.bytes = static_cast<uint8_t>(word.size());
    entry.count = static_cast<uint32_t>(ids.size());
    std::memcpy(entry.word, word.data(), word.size());
    std::memcpy(entry.ids, ids.data(), ids.size_bytes());
  }

  // Of a word of at most kWordBytes.
  static uint64_t hash_of(std::string_view word) {
    uint64_t h = word.size();
    const char* at = word.data();
    size_t left = word.size();
    for (; left >= 8; at += 8, left -= 8) h = step(h, load(at, 8));
    if (left > 0) h = step(h, load(at, left));
    return h ^ h >> 32;
  }

 private:
  static constexpr size_t kIds = 7;
  static constexpr size_t kMask = (1 << 16) - 1;
  struct alignas(64) Entry {
    char word[kWordBytes] = {};
    uint8_t bytes = 0;  // 0: free
    uint32_t count = 0;
    int32_t ids[kIds] = {};
  };
  static uint64_t load(const char* at, size_t bytes) {
    uint64_t value = 0;
    std::memcpy(&value, at, bytes);
    return value;
  }
  static uint64_t step(uint64_t h, uint64_t value) {
    h = (h ^ value) * 0x9E3779B97F4A7C15ull;
    return h ^ h >> 29;
  }

  std::unique_ptr<Entry[]> entries_ = std::make_unique<Entry[]>(kMask + 1);
};

}  // namespace strata
