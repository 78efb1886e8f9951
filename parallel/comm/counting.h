// SPDX-License-Identifier: Apache-2.0
// Counts what a rank receives: calls and bytes, by purpose and link level.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/comm/decorator.h"

namespace strata {

struct Traffic {
  std::string purpose;
  LinkLevel level = LinkLevel::self;
  std::array<int64_t, kNumCollectiveKinds> calls{};  // by CollectiveKind
  int64_t bytes = 0;                                 // received, as MetaStream counts them
};

// Thread-safe. Outlives the communicators that count into it.
class TrafficCounter {
 public:
  // One row for each pair of purpose and level, in the order of their first communicator. Rows are read one
  // after another: exact when no operation is being enqueued.
  std::vector<Traffic> snapshot() const;
  std::array<int64_t, kNumLinkLevels> bytes_by_level() const;

 private:
  friend class CountingCommunicator;
  struct Slot {
    std::string purpose;
    LinkLevel level;
    std::array<std::atomic<int64_t>, kNumCollectiveKinds> calls{};
    std::atomic<int64_t> bytes = 0;
  };
  Slot& slot(const GroupSpec& spec);

  mutable std::mutex mutex_;
  std::deque<Slot> slots_;
};

std::unique_ptr<World> count_traffic(std::unique_ptr<World> world, TrafficCounter& counter);

}  // namespace strata
