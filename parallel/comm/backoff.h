// SPDX-License-Identifier: Apache-2.0
// How to wait for something that must be polled, on cores that other ranks may need: look again at once for a
// few turns, then give the core away for some milliseconds, then sleep, the longer the longer it takes.
#pragma once

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace strata {

class Backoff {
 public:
  void pause() {
    if (++turns_ <= kTurns) return;
    const auto now = std::chrono::steady_clock::now();
    if (turns_ == kTurns + 1) begin_ = now;
    const auto waited = now - begin_;
    if (waited < std::chrono::milliseconds(5)) {
      sched_yield();
      return;
    }
    // A hundredth of the wait so far costs at most a hundredth more.
    using std::chrono::microseconds;
    std::this_thread::sleep_for(std::clamp(std::chrono::duration_cast<microseconds>(waited) / 100,
                                           microseconds(50), microseconds(2000)));
  }

 private:
  static constexpr int kTurns = 64;
  int turns_ = 0;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace strata
