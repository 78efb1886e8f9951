// SPDX-License-Identifier: Apache-2.0
// A line on standard error that says how far a long copy is; nothing when that is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace strata {

class Progress {
 public:
  Progress(std::string action, int64_t total_bytes);
  ~Progress();  // clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(int64_t bytes);  // from one thread at a time

 private:
  using Clock = std::chrono::steady_clock;
  std::string action_;
  int64_t total_, done_ = 0;
  bool terminal_, drawn_ = false;
  Clock::time_point begin_, next_;
};

}  // namespace strata
