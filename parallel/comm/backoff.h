// SPDX-License-Identifier: Apache-2.0
// How to wait for something that must be polled, on cores that other ranks may need: look again at once for
// some microseconds, then give the core away for some milliseconds, then sleep, the longer the longer it
// takes.
#pragma once

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace strata {

class Backoff {
 public:
  void pause() {
    using namespace std::chrono;
    const auto now = steady_clock::now();
    if (begin_ == steady_clock::time_point{}) begin_ = now;
    const auto waited = now - begin_;
    if (waited < microseconds(20)) return;  // giving the core away may cost milliseconds
    if (waited < milliseconds(5)) {
      sched_yield();
      return;
    }
    // A hundredth of the wait so far costs at most a hundredth more.
    std::this_thread::sleep_for(
        std::clamp(duration_cast<microseconds>(waited) / 100, microseconds(50), microseconds(2000)));
  }

 private:
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace strata
