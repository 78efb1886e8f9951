// SPDX-License-Identifier: Apache-2.0
#include "core/device/ledger.h"

#include <algorithm>

namespace strata {

void Ledger::add(const std::string& label, int64_t bytes) {
  std::lock_guard lock(mutex_);
  for (Allocator::Use* use : {&table_[label], &total_}) {
    use->bytes += bytes;
    use->peak_bytes = std::max(use->peak_bytes, use->bytes);
    ++use->count;
  }
}

void Ledger::remove(const std::string& label, int64_t bytes) {
  std::lock_guard lock(mutex_);
  table_[label].bytes -= bytes;
  total_.bytes -= bytes;
}

std::map<std::string, Allocator::Use> Ledger::table() const {
  std::lock_guard lock(mutex_);
  return table_;
}

Allocator::Use Ledger::total() const {
  std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace strata
