// SPDX-License-Identifier: Apache-2.0
// Whether the job goes on, and if not, why: the first cause.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

namespace strata {

// Thread-safe.
class AbortState {
 public:
  // True when this was the first cause; later ones are dropped.
  bool set(const std::string& reason) {
    std::lock_guard lock(mutex_);
    if (aborted_.load(std::memory_order_relaxed)) return false;
    reason_ = reason;
    aborted_.store(true, std::memory_order_release);
    return true;
  }
  bool aborted() const { return aborted_.load(std::memory_order_acquire); }
  std::string reason() const {
    std::lock_guard lock(mutex_);
    return reason_;
  }

 private:
  mutable std::mutex mutex_;
  std::string reason_;
  std::atomic<bool> aborted_ = false;
};

}  // namespace strata
