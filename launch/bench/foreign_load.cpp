// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/foreign_load.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

namespace strata {
namespace {

double cpu_seconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
}

}  // namespace

ForeignLoad::ForeignLoad() : start_(sample()) {}

ForeignLoad::Sample ForeignLoad::sample() {
  Sample now{};
  now.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage own{};
    getrusage(who, &own);
    now.own_s += cpu_seconds(own.ru_utime) + cpu_seconds(own.ru_stime);
  }

  // First line of /proc/stat, in ticks: cpu user nice system idle iowait irq softirq steal ... (proc(5)).
  std::ifstream file("/proc/stat");
  std::string label;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
  if (file >> label >> user >> nice >> system >> idle >> iowait >> irq >> softirq)
    now.busy_s = (user + nice + system + irq + softirq) / static_cast<double>(sysconf(_SC_CLK_TCK));
  else
    now.busy_s = -1;
  return now;
}

double ForeignLoad::cores() const {
  const Sample now = sample();
  if (start_.busy_s < 0 || now.busy_s < 0 || now.wall_s <= start_.wall_s) return -1;
  const double foreign_s = (now.busy_s - start_.busy_s) - (now.own_s - start_.own_s);
  return std::max(0.0, foreign_s / (now.wall_s - start_.wall_s));
}

std::string inconclusive(double foreign_cores) {
  if (foreign_cores >= 0 && foreign_cores <= kQuietCores) return "";
  return fmt::format("inconclusive: others used {} cores meanwhile\n",
                     foreign_cores < 0 ? "an unknown number of" : fmt::format("{:.2f}", foreign_cores));
}

}  // namespace strata
