// SPDX-License-Identifier: Apache-2.0
// Cores, memory and limits as Linux tells them: sysfs, procfs, the control group.
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/device/host_memory.h"
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
  const HostMemory memory = look_at_host_memory();
  MemoryFacts facts{.total_bytes = memory.total_bytes,
                    .available_bytes = memory.available_bytes,
                    .group_limit_bytes = memory.group_limit_bytes,
                    .locked_limit_bytes = memory.locked_limit_bytes,
                    .open_files_limit = limit_of(RLIMIT_NOFILE),
                    .huge_pages = memory.huge_pages};
  struct statvfs shared {};
  if (statvfs("/dev/shm", &shared) == 0)
    facts.shared_bytes = static_cast<int64_t>(shared.f_bavail) * static_cast<int64_t>(shared.f_frsize);
  return facts;
}

}  // namespace strata::doctor
