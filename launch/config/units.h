// SPDX-License-Identifier: Apache-2.0
// Quantities as people write them: durations ("30min", "1h30min") and sizes ("16GiB"). Parsing is exact or
// refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace strata {

// How often something happens: every `steps` optimizer steps or every `seconds` of wall-clock time, whichever
// is not 0; both 0: never.
struct Period {
  int64_t steps = 0;
  int64_t seconds = 0;
  bool never() const { return steps == 0 && seconds == 0; }
  friend bool operator==(const Period&, const Period&) = default;
};

// Whole seconds of "90s", "30min", "1.5h", "1h30min", "2d"; empty when the text is no duration, is not a
// whole number of seconds or does not fit.
std::optional<int64_t> parse_duration(std::string_view text);
// In the largest units that are exact: 5400 is "1h30min". parse_duration gives the same number back.
std::string format_duration(int64_t seconds);

// Bytes of "512", "512B", "16GiB", "1.5TiB" (binary) or "16GB" (decimal); empty when the text is no size, is
// not a whole number of bytes or does not fit.
std::optional<int64_t> parse_size(std::string_view text);
// In the largest binary unit that is exact: 17179869184 is "16GiB". parse_size gives the same number back.
std::string format_size(int64_t bytes);

}  // namespace strata
