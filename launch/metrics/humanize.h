// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them: three digits and a unit. ASCII, never wider than 8 characters for sane values.
#pragma once

#include <cstdint>
#include <string>

namespace strata {

std::string human_count(double value);       // "0", "3.4", "512", "1.2k", "12.3M", "1.5B"
std::string human_bytes(int64_t bytes);      // "0 B", "512 MiB", "1.5 GiB"
std::string human_duration(double seconds);  // "0.4s", "12s", "3m12s", "2h05m", "3d04h"

}  // namespace strata
