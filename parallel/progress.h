// SPDX-License-Identifier: Apache-2.0
// What a rank is doing, in its own words, for its watchdog to read. Thread-safe; a call costs a few
// nanoseconds.
#pragma once

#include <atomic>
#include <cstdint>

namespace strata {

class Progress {
 public:
  // `phase` is a literal: "forward", "save".
  void enter(int64_t step, const char* phase) {
    step_.store(step, std::memory_order_relaxed);
    phase_.store(phase, std::memory_order_relaxed);
    tick();
  }
  void tick() { ticks_.fetch_add(1, std::memory_order_relaxed); }  // something was done

  // While one lives the rank waits for storage, which may take as long as it takes.
  class StorageWait {
   public:
    explicit StorageWait(Progress& progress) : progress_(progress) { ++progress_.storage_waits_; }
    ~StorageWait() {
      --progress_.storage_waits_;
      progress_.tick();
    }
    StorageWait(const StorageWait&) = delete;
    StorageWait& operator=(const StorageWait&) = delete;

   private:
    Progress& progress_;
  };

  int64_t step() const { return step_.load(std::memory_order_relaxed); }
  const char* phase() const { return phase_.load(std::memory_order_relaxed); }
  uint64_t ticks() const { return ticks_.load(std::memory_order_relaxed); }
  bool waits_for_storage() const { return storage_waits_.load(std::memory_order_relaxed) > 0; }

 private:
  std::atomic<int64_t> step_ = 0;
  std::atomic<const char*> phase_ = "start";
  std::atomic<uint64_t> ticks_ = 0;
  std::atomic<int> storage_waits_ = 0;
};

}  // namespace strata
