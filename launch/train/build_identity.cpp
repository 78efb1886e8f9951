// SPDX-License-Identifier: Apache-2.0
#include "launch/train/build_identity.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <span>
#include <vector>

#include "core/io/crc32c.h"
#include "launch/commands/command.h"

namespace strata {

std::string build_identity() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  return fmt::format("{}, program {:08x}", version_line(), crc32c(std::as_bytes(std::span(bytes))));
}

}  // namespace strata
