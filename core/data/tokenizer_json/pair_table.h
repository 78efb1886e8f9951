// SPDX-License-Identifier: Apache-2.0
// The merges of a BPE model: from a pair of ids to its rank and the id it becomes. Open addressing, at most
// half full, so that a look-up touches one or two cache lines.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace strata {

class PairTable {
 public:
  struct Merge {
    int32_t rank = -1;  // lower goes first; -1: the pair does not merge
    int32_t id = -1;
  };

  explicit PairTable(size_t pairs = 0) : entries_(std::bit_ceil(2 * pairs + 2)), mask_(entries_.size() - 1) {}

  void insert(int32_t left, int32_t right, Merge merge) {  // the last of equal pairs stays
    Entry& entry = entries_[slot(key_of(left, right))];
    entry = {key_of(left, right), merge};
  }
  Merge find(int32_t left, int32_t right) const { return entries_[slot(key_of(left, right))].merge; }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};  // no pair: ids are not negative
  struct Entry {
    uint64_t key = kFree;
    Merge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t key) const {
    size_t at = (key * 0x9E3779B97F4A7C15ull >> 20) & mask_;
    while (entries_[at].key != key && entries_[at].key != kFree) at = (at + 1) & mask_;
    return at;
  }

  std::vector<Entry> entries_;
  size_t mask_;
};

}  // namespace strata
