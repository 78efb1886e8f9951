// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/busy_neighbour.h"

namespace strata {

BusyNeighbour::BusyNeighbour() {
  thread_ = std::thread([this] {
    for (;;) {
      const State state = state_.load();
      if (state == State::gone) return;
      if (state == State::idle) {
        state_.wait(State::idle);
        continue;
      }
      while (state_.load(std::memory_order_relaxed) == State::busy) {
      }
    }
  });
}

BusyNeighbour::~BusyNeighbour() {
  set(State::gone);
  thread_.join();
}

}  // namespace strata
