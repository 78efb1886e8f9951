// SPDX-License-Identifier: Apache-2.0
// procfs, sysfs and the control group (version 2, and 1 where that is mounted).
#include "core/device/host_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace strata {
namespace {

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::optional<int64_t> number(const std::string& text) {
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (end == text.c_str()) return std::nullopt;
  return value;
}

// The number after a name in a file of lines "name: 12 kB" or "name 12"; 0 when it is not there.
int64_t field(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string word, line; std::getline(file, line);) {
    std::istringstream words(line);
    int64_t value = 0;
    if (words >> word >> value && (word == name || word == name + ":")) return value;
  }
  return 0;
}

// Of the groups this process is in, from its own up to the root, the one that limits memory most.
void look_at_groups(HostMemory& memory) {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/a/b", or "7:memory:/a/b"
    std::istringstream parts(line);
    std::string id, controllers, group;
    std::getline(parts, id, ':');
    std::getline(parts, controllers, ':');
    std::getline(parts, group);
    const bool second = controllers.empty();
    if (!second && controllers.find("memory") == std::string::npos) continue;
    const std::string root = second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    for (std::filesystem::path at = group;; at = at.parent_path()) {
      const std::string folder = root + at.string() + "/";
      const auto limit = number(first_line(folder + (second ? "memory.max" : "memory.limit_in_bytes")));
      constexpr int64_t kUnlimitedV1 = int64_t{1} << 60;
      if (limit && *limit < kUnlimitedV1 &&
          (memory.group_limit_bytes == HostMemory::kNoLimit || *limit < memory.group_limit_bytes)) {
        memory.group_limit_bytes = *limit;
        const auto used = number(first_line(folder + (second ? "memory.current" : "memory.usage_in_bytes")));
        const int64_t cache =
            field(folder + "memory.stat", "inactive_file") + field(folder + "memory.stat", "active_file");
        memory.group_used_bytes = std::max<int64_t>(0, used.value_or(0) - cache);
      }
      if (!at.has_relative_path()) break;
    }
  }
}

// "always [madvise] never": the word in brackets.
std::string chosen(const std::string& words) {
  const size_t begin = words.find('['), end = words.find(']');
  return begin == std::string::npos || end == std::string::npos ? ""
                                                                : words.substr(begin + 1, end - begin - 1);
}

}  // namespace

int64_t HostMemory::free_bytes() const {
  if (group_limit_bytes == kNoLimit) return available_bytes;
  return std::min(available_bytes, std::max<int64_t>(0, group_limit_bytes - group_used_bytes));
}

HostMemory look_at_host_memory() {
  HostMemory memory{.total_bytes = field("/proc/meminfo", "MemTotal") * 1024,
                    .available_bytes = field("/proc/meminfo", "MemAvailable") * 1024,
                    .huge_pages = chosen(first_line("/sys/kernel/mm/transparent_hugepage/enabled"))};
  look_at_groups(memory);
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    memory.locked_limit_bytes = static_cast<int64_t>(limit.rlim_cur);
  return memory;
}

}  // namespace strata
