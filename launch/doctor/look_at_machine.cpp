// SPDX-License-Identifier: Apache-2.0
// Cores and memory as Linux tells them: sysfs, procfs, the control group (version 2, and 1 where that is
// mounted).
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "launch/doctor/facts.h"

namespace strata::doctor {
namespace {

// The first line of a file; empty when it cannot be read.
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

// "name   : value" of a file of such lines.
std::string value_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

// The smallest limit of the control groups this process is in, from its own up to the root. `file` holds a
// number or "max".
int64_t group_limit(const std::string& file, const std::string& file_v1, const std::string& controller_v1) {
  int64_t least = kNoLimit;
  const auto take = [&](const std::string& path) {
    const auto value = number(first_line(path));
    constexpr int64_t kUnlimitedV1 = int64_t{1} << 60;
    if (value && *value < kUnlimitedV1 && (least == kNoLimit || *value < least)) least = *value;
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    std::istringstream parts(line);
    std::string id, controllers, group;
    std::getline(parts, id, ':');
    std::getline(parts, controllers, ':');
    std::getline(parts, group);
    const bool second = controllers.empty();
    if (!second && controllers.find(controller_v1) == std::string::npos) continue;
    const std::string root = second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controller_v1;
    for (std::filesystem::path at = group;; at = at.parent_path()) {
      take(root + at.string() + "/" + (second ? file : file_v1));
      if (!at.has_relative_path()) break;
    }
  }
  return least;
}

// Cores of the quota in "quota period" of cpu.max.
double group_cores() {
  std::ifstream groups("/proc/self/cgroup");
  double least = 0;
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::filesystem::path at = line.substr(3);; at = at.parent_path()) {
      std::istringstream words(first_line("/sys/fs/cgroup" + at.string() + "/cpu.max"));
      double quota = 0, period = 0;
      if (words >> quota >> period && period > 0 && (least == 0 || quota / period < least))
        least = quota / period;
      if (!at.has_relative_path()) break;
    }
  }
  return least;
}

int64_t limit_of(__rlimit_resource resource) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNoLimit;
  return static_cast<int64_t>(limit.rlim_cur);
}

// "always [madvise] never": the word in brackets.
std::string chosen(const std::string& words) {
  const size_t begin = words.find('['), end = words.find(']');
  return begin == std::string::npos || end == std::string::npos ? ""
                                                                : words.substr(begin + 1, end - begin - 1);
}

}  // namespace

CpuFacts look_at_cpu() {
  CpuFacts facts{.model = value_of("/proc/cpuinfo", "model name"),
                 .machine_cores = static_cast<int>(std::thread::hardware_concurrency()),
                 .quota_cores = group_cores(),
                 .isa = machine_isa()};
  cpu_set_t set;
  facts.cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : facts.machine_cores;
  facts.machine_cores = std::max(facts.machine_cores, facts.cores);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/devices/system/node", ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("node") && name.find_first_not_of("0123456789", 4) == std::string::npos)
      ++facts.numa_nodes;
  }
  return facts;
}

MemoryFacts look_at_memory() {
  const auto kib = [](const char* name) {
    return number(value_of("/proc/meminfo", name)).value_or(0) * 1024;
  };
  MemoryFacts facts{.total_bytes = kib("MemTotal"),
                    .available_bytes = kib("MemAvailable"),
                    .group_limit_bytes = group_limit("memory.max", "memory.limit_in_bytes", "memory"),
                    .locked_limit_bytes = limit_of(RLIMIT_MEMLOCK),
                    .open_files_limit = limit_of(RLIMIT_NOFILE),
                    .huge_pages = chosen(first_line("/sys/kernel/mm/transparent_hugepage/enabled"))};
  struct statvfs shared {};
  if (statvfs("/dev/shm", &shared) == 0)
    facts.shared_bytes = static_cast<int64_t>(shared.f_bavail) * static_cast<int64_t>(shared.f_frsize);
  return facts;
}

}  // namespace strata::doctor
