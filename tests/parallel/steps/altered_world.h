// SPDX-License-Identifier: Apache-2.0
// A world that counts what its rank receives, and may do some of it wrong: the teeth of the comparisons.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "core/dist/communicator.h"

namespace strata {

// What was received, counted where operations run. Lanes run them at once.
class ReceivedBytes {
 public:
  void add(const GroupSpec& spec, int64_t bytes);
  void reset();
  // By the purpose of the communicator; all cuts of a partition ("shards 4 of 1") are one.
  std::map<std::string, int64_t> by_purpose() const;
  std::array<int64_t, kNumLinkLevels> by_level() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int64_t> by_purpose_;
  std::array<int64_t, kNumLinkLevels> by_level_{};
};

// Called alike on all ranks of the job, so that they still meet. Empty functions alter nothing.
struct Alteration {
  std::function<void(GroupSpec&)> group;  // before the communicator is made
  // In place of the operation: may call `run` or not, and change what lies in its tensors.
  std::function<void(const GroupSpec&, const Collective&, const std::function<void()>& run)> operation;
};

// `world`, `received` and `alteration` must outlive the result.
std::unique_ptr<World> alter(World& world, ReceivedBytes& received, const Alteration& alteration);

}  // namespace strata
