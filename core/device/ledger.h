// SPDX-License-Identifier: Apache-2.0
// The book-keeping all allocators share. Kept alive by every buffer, so that a buffer may outlive its
// allocator. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "core/device/buffer.h"

namespace strata {

class Ledger {
 public:
  void add(const std::string& label, int64_t bytes);
  void remove(const std::string& label, int64_t bytes);
  std::map<std::string, Allocator::Use> table() const;
  Allocator::Use total() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Allocator::Use> table_;
  Allocator::Use total_;
};

// An allocator whose uses are those of a ledger.
class LedgerAllocator : public Allocator {
 public:
  std::map<std::string, Use> table() const override { return ledger_->table(); }
  Use total() const override { return ledger_->total(); }

 protected:
  const std::shared_ptr<Ledger>& ledger() const { return ledger_; }

 private:
  std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>();
};

}  // namespace strata
