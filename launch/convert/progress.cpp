// SPDX-License-Identifier: Apache-2.0
#include "launch/convert/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "launch/metrics/humanize.h"

namespace strata {

Progress::Progress(std::string action, int64_t total_bytes)
    : action_(std::move(action)),
      total_(total_bytes),
      terminal_(::isatty(STDERR_FILENO) == 1),
      begin_(Clock::now()),
      next_(begin_) {}

Progress::~Progress() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::add(int64_t bytes) {
  done_ += bytes;
  const auto now = Clock::now();
  if (!terminal_ || now < next_) return;
  next_ = now + std::chrono::milliseconds(200);
  drawn_ = true;
  constexpr int kWidth = 24;
  const double part =
      total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 1.0;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const auto filled = static_cast<size_t>(part * kWidth);
  fmt::print(stderr, "\r\x1b[K{} [{}{}] {:3.0f}%  {} of {}  {}/s  {} left", action_, std::string(filled, '#'),
             std::string(kWidth - filled, ' '), 100 * part, human_bytes(done_), human_bytes(total_),
             human_bytes(static_cast<int64_t>(static_cast<double>(done_) / std::max(seconds, 1e-3))),
             part > 0 ? human_duration(seconds * (1 - part) / part) : "?");
  std::fflush(stderr);
}

}  // namespace strata
