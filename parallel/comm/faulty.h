// SPDX-License-Identifier: Apache-2.0
// A communicator that misbehaves as told: for tests, and for playing a slow network on a fast machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parallel/comm/decorator.h"

namespace strata {

struct FaultPlan {
  // One operation of one rank that goes wrong.
  struct Fault {
    int rank = 0;
    std::string purpose;    // of the communicator; empty: any
    int64_t operation = 0;  // counted from 0 on that communicator, barriers included
    enum class Kind : uint8_t { stuck, fails } kind = Kind::stuck;  // stuck: until the job is aborted
  };
  std::vector<Fault> faults;
  std::chrono::microseconds latency{0};  // before every operation
  double bytes_per_second = 0;           // as if a rank received no faster; 0: no limit
  std::chrono::microseconds jitter{0};   // up to this much more, by a number keyed by (seed, rank, operation)
  uint64_t seed = 1;
};

std::unique_ptr<World> make_faulty(std::unique_ptr<World> world, FaultPlan plan);

}  // namespace strata
