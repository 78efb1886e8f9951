// SPDX-License-Identifier: Apache-2.0
#include "launch/doctor/look_at_job.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <sstream>

#include "launch/train/build_identity.h"
#include "launch/train/job.h"
#include "parallel/comm/mpi_world.h"

namespace strata::doctor {
namespace {

bool in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  std::error_code ignored;
  for (std::string folder; std::getline(folders, folder, ':');)
    if (std::filesystem::is_regular_file(folder + "/" + program, ignored)) return true;
  return false;
}

// "pmix_v4" for .../mpi_pmix_v4.so, in the folders Slurm is packaged with.
std::vector<std::string> slurm_mpi_plugins() {
  std::vector<std::string> plugins;
  for (const char* folder :
       {"/usr/lib/x86_64-linux-gnu/slurm-wlm", "/usr/lib/x86_64-linux-gnu/slurm", "/usr/lib64/slurm",
        "/usr/lib/slurm", "/usr/local/lib/slurm", "/opt/slurm/lib/slurm"}) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
      const std::string name = entry.path().filename();
      if (name.starts_with("mpi_") && name.ends_with(".so"))
        plugins.push_back(name.substr(4, name.size() - 7));
    }
  }
  std::ranges::sort(plugins);
  plugins.erase(std::unique(plugins.begin(), plugins.end()), plugins.end());
  return plugins;
}

}  // namespace

JobFacts look_at_job(World& world) {
  JobFacts facts{.mpi = mpi_library(),
                 .slurm = in_path("srun"),
                 .slurm_mpi = slurm_mpi_plugins(),
                 .ranks = world.size()};
  std::vector<int> all(static_cast<size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  const auto everyone =
      world.group({.purpose = "doctor", .members = std::move(all), .level = LinkLevel::world});
  facts.hosts = gather_text(*everyone, world.host());
  facts.builds = gather_text(*everyone, build_identity());
  everyone->barrier();  // then all look at their clocks at about the same time
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  double first = now, last = now;
  for (const std::string& text : gather_text(*everyone, fmt::format("{:.6f}", now))) {
    first = std::min(first, std::stod(text));
    last = std::max(last, std::stod(text));
  }
  facts.most_clock_skew_s = last - first;
  return facts;
}

}  // namespace strata::doctor
