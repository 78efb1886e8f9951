// SPDX-License-Identifier: Apache-2.0
// A neighbour that wants a core: one thread that does nothing but count, while it is asked to, on whichever
// core the system gives it.
#pragma once

#include <atomic>
#include <thread>

namespace strata {

class BusyNeighbour {
 public:
  BusyNeighbour();
  ~BusyNeighbour();
  BusyNeighbour(const BusyNeighbour&) = delete;
  BusyNeighbour& operator=(const BusyNeighbour&) = delete;

  void start() { set(State::busy); }
  void stop() { set(State::idle); }

 private:
  enum class State { idle, busy, gone };
  void set(State state) {
    state_ = state;
    state_.notify_one();
  }

  std::atomic<State> state_{State::idle};
  std::thread thread_;
};

}  // namespace strata
