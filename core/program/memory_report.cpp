// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/program/link.h"

namespace strata {

namespace {

std::string binary(int64_t bytes) {
  constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace

std::string to_string(const MemoryReport& report) {
  std::string text;
  for (int t = 0; t < kNumTiers; ++t) {
    const auto tier = static_cast<Tier>(t);
    const MemoryReport::TierUse& use = report[tier];
    if (use.arena == 0) continue;
    text += fmt::format("{}: arena {}, live at most {} (at action {})\n", name(tier), binary(use.arena),
                        binary(use.live_peak), use.peak_at);
    const auto row = [&](std::string_view what, int64_t bytes) {
      if (bytes > 0) text += fmt::format("  {:<12} {:>12}\n", what, binary(bytes));
    };
    for (int c = 0; c < kNumValueClasses; ++c)
      row(name(static_cast<ValueClass>(c)), use.by_class[static_cast<size_t>(c)]);
    row("scratch", use.scratch);
  }
  return text;
}

}  // namespace strata
