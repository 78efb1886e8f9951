// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/humanize.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace strata {
namespace {

// A value below 1000 (or 1024): one decimal where it tells something.
std::string short_number(double value) {
  const bool decimal = value < 99.95 && std::abs(value - std::round(value)) >= 0.05;
  return fmt::format("{:.{}f}", value, decimal ? 1 : 0);
}

}  // namespace

std::string human_count(double value) {
  if (!std::isfinite(value)) return "-";
  if (value < 0) return fmt::format("-{}", human_count(-value));
  constexpr std::array<const char*, 7> kUnits = {"", "k", "M", "B", "T", "P", "E"};
  size_t unit = 0;
  // 999.5 would print as 1000: it belongs to the next unit.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  // One decimal always beside a unit below 100: "1.0k" does not jump to "1k" and back while it changes.
  if (unit > 0 && value < 99.95) return fmt::format("{:.1f}{}", value, kUnits[unit]);
  return short_number(value) + kUnits[unit];
}

std::string human_bytes(int64_t bytes) {
  if (bytes < 0) return fmt::format("-{}", human_bytes(-bytes));
  constexpr std::array<const char*, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{} {}", short_number(value), kUnits[unit]);
}

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  if (seconds > 1e9) return "-";  // longer than thirty years is not a forecast
  const auto total = static_cast<int64_t>(std::llround(seconds));
  const int64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return fmt::format("{}d{:02}h", days, hours);
  if (hours > 0) return fmt::format("{}h{:02}m", hours, minutes);
  if (minutes > 0) return fmt::format("{}m{:02}s", minutes, total % 60);
  return fmt::format("{}s", total);
}

}  // namespace strata
