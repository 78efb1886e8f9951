// SPDX-License-Identifier: Apache-2.0
#include "launch/train/process_memory.h"

#include <fstream>
#include <string>

namespace strata {

TierUse process_memory() {
  TierUse use;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    // "VmRSS:     1234 kB"
    if (line.starts_with("VmRSS:")) use.bytes = std::stoll(line.substr(6)) * 1024;
    if (line.starts_with("VmHWM:")) use.peak_bytes = std::stoll(line.substr(6)) * 1024;
  }
  return use;
}

}  // namespace strata
