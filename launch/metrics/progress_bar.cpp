// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/progress_bar.h"

#include <fmt/format.h>

#include <algorithm>

#include "launch/metrics/humanize.h"

namespace strata {

std::optional<std::string> ProgressBar::line(int64_t done, int64_t total, double seconds) {
  if (shown_at_ >= 0 && seconds < shown_at_ + 0.1) return std::nullopt;
  shown_at_ = seconds;
  const double speed = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const std::string rate = fmt::format("{}/s", human_bytes(static_cast<int64_t>(speed)));
  if (total <= 0) return fmt::format("{}  {}", human_bytes(done), rate);
  constexpr int kWidth = 30;
  const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  const auto full = static_cast<size_t>(share * kWidth);
  const double left = speed > 0 ? static_cast<double>(total - done) / speed : 0;
  return fmt::format("[{:<{}}] {:3d}%  {}  {} left", std::string(full, '='), kWidth,
                     static_cast<int>(share * 100), rate, human_duration(std::max(0.0, left)));
}

}  // namespace strata
